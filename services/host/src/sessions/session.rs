//! Working an open session: news up, tasks down.

use std::sync::Arc;
use std::time::Instant;

use gyre_model::Error;
use gyre_proto::agent::v1::session_response::Message;
use tokio::time::MissedTickBehavior;

use super::connect::Streams;
use super::release::release;
use super::{Link, Shared};

/// How a session ended.
pub(super) struct Ended {
    /// The last sign of life.
    pub alive: Instant,
    /// Why it ended, for people.
    pub why: String,
    /// Whether somebody wanted it opened anew.
    pub renew: bool,
    /// Whether anything came after the hello.
    pub lived: bool,
    /// Whether the agent was let go, as far as it would: no session is opened after this one.
    pub released: bool,
}

/// Works a session until it breaks, the host is silent for too long, somebody wants it opened anew, or the host is removed.
pub(super) async fn work(shared: &Arc<Shared>, link: &Arc<Link>, session: Streams, fence: i64) -> Ended {
    let Streams { requests, mut answers } = session;
    let mut released = false;
    let grace = shared.config.grace();
    let began = Instant::now();
    let mut alive = began;
    let mut tick = tokio::time::interval(shared.config.heartbeat);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut more = true;
    let (why, renew) = loop {
        tokio::select! {
            () = link.releasing().cancelled() => {
                released = true;
                break ("the host is removed".to_owned(), false);
            }
            answer = answers.message() => match answer {
                Ok(Some(answer)) => {
                    alive = Instant::now();
                    take(shared, link, answer.message, alive);
                }
                Ok(None) => break ("the agent ended the session".to_owned(), false),
                Err(status) => {
                    let error = Error::from(status);
                    // an agent that cuts the session for a newer one lives
                    if error.reason() == "FENCED" {
                        alive = Instant::now();
                    }
                    break (error.message().to_owned(), false);
                }
            },
            () = link.board.changed() => more = true,
            permit = requests.reserve(), if more => match permit {
                // an instance in doubt of its lease starts nothing; the tick looks again
                Ok(_) if !shared.mesh.may_work() => more = false,
                Ok(permit) => match link.reporter.next_question().or_else(|| link.board.next_message(link.host, fence)) {
                    Some(message) => permit.send(message),
                    None => more = false,
                },
                Err(_) => break ("the agent takes no more tasks".to_owned(), false),
            },
            _ = tick.tick() => {
                if alive.elapsed() >= grace {
                    break (format!("no heartbeat for {:.1} s", alive.elapsed().as_secs_f64()), false);
                }
                link.board.sweep(Instant::now());
                link.reporter.tick(&shared.config, Instant::now());
                more = true;
            }
            () = link.renewed() => break ("opened anew on request".to_owned(), true),
        }
    };
    if released {
        release(shared, link, Streams { requests, answers }, fence).await;
    }
    Ended { alive, why, renew, lived: alive > began, released }
}

fn take(shared: &Arc<Shared>, link: &Arc<Link>, message: Option<Message>, now: Instant) {
    match message {
        Some(Message::Progress(progress)) => link.board.progress(progress),
        Some(Message::Outcome(outcome)) => {
            link.reporter.task_ended(&outcome);
            link.board.outcome(outcome, now);
        }
        Some(Message::Report(report)) => link.reporter.answered(shared, link, report),
        Some(Message::Machine(facts)) => link.reporter.machine(shared, link, facts),
        // a heartbeat has said all by coming; a second hello says nothing new
        Some(Message::Heartbeat(_) | Message::Hello(_)) | None => {}
    }
}
