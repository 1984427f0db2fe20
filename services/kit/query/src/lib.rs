//! The query language over the API's metadata, compiled to SQL with the caller's scope put in.
