//! The database: connections on their own threads, transactions, migrations, the change log.
