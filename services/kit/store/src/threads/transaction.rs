//! Transactions around closures.

use std::sync::Arc;

use super::job::{Around, Ended, Finish, Job};
use super::watch::Watch;
use crate::conn::Conn;
use crate::error::{self, DbError};
use crate::metrics;

/// A closure without a transaction.
pub(super) fn none(conn: &mut Conn, job: Job) {
    let (_, finish) = (job.run)(conn);
    finish(&Ended::Well);
}

/// What a failed commit means: that no answer came says nothing about what happened.
fn ended(name: &str, commit: Result<(), DbError>) -> Ended {
    match commit {
        Ok(()) => Ended::Well,
        Err(DbError::Lost(why)) => {
            metrics::unknown();
            tracing::warn!(name, why, "the database went away while it committed");
            Ended::Unknown(error::unknown())
        }
        Err(error) => {
            tracing::warn!(name, %error, "commit failed");
            Ended::Not(error.into())
        }
    }
}

/// A closure on a connection that is watched, in a transaction if it wants one.
pub(super) fn one(conn: &mut Conn, watch: &Arc<Watch>, job: Job) {
    watch.running(&job.waiting);
    let transaction = job.around == Around::Transaction;
    if transaction && let Err(error) = conn.batch("BEGIN") {
        watch.done();
        return job.refuse(error.into());
    }
    let name = job.name;
    let (outcome, finish) = (job.run)(conn);
    if !transaction {
        watch.done();
        return finish(&Ended::Well);
    }
    if outcome.is_err() {
        // a connection that cannot even do this is lost, and the transaction with it
        let _ = conn.batch("ROLLBACK");
        watch.done();
        return finish(&Ended::Well);
    }
    if !watch.committing(finish) {
        // answered in our place; the connection is dropped and the transaction with it
        conn.lost = true;
        return;
    }
    let committed = conn.batch("COMMIT");
    conn.lost |= committed.is_err();
    if let Some(finish) = watch.done() {
        finish(&ended(name, committed));
    }
}

/// Several closures in one transaction, each in its savepoint.
pub(super) fn group(conn: &mut Conn, batch: Vec<Job>) {
    if let Err(error) = conn.batch("BEGIN IMMEDIATE") {
        let error = gyre_model::Error::from(error);
        for job in batch {
            job.refuse(error.clone());
        }
        return;
    }
    let mut finishers: Vec<Finish> = Vec::with_capacity(batch.len());
    let mut failed: Option<DbError> = None;
    for job in batch {
        if let Some(error) = &failed {
            job.refuse(error.clone().into());
            continue;
        }
        if let Err(error) = conn.batch("SAVEPOINT job") {
            job.refuse(error.clone().into());
            failed = Some(error);
            continue;
        }
        let (outcome, finish) = (job.run)(conn);
        let ended = match outcome {
            Ok(()) => conn.batch("RELEASE job"),
            Err(_) => conn.batch("ROLLBACK TO job; RELEASE job"),
        };
        // SQLite ends the whole transaction on some errors (a full disk, an I/O error)
        failed = ended.err();
        finishers.push(finish);
    }
    let ended = match failed {
        None => ended("group", conn.batch("COMMIT")),
        // nothing was committed, whatever it was
        Some(error) => Ended::Not(error.into()),
    };
    if !matches!(ended, Ended::Well) {
        // there may be no transaction left to roll back
        let _ = conn.batch("ROLLBACK");
    }
    for finish in finishers {
        finish(&ended);
    }
}
