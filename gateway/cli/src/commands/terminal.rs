//! The terminal under a console: keys one by one and unchanged while it is raw, and as it was before in every other moment.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _, stdin, stdout};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::failure::{Failure, Result};

/// A changed terminal; dropping it puts back what was.
#[derive(Debug)]
pub struct Changed(Termios);

impl Changed {
    /// Passes every key on, Ctrl-C included. None where standard input or output is no terminal.
    pub fn raw() -> Result<Option<Self>> {
        if !(stdin().is_terminal() && stdout().is_terminal()) {
            return Ok(None);
        }
        let before = tcgetattr(stdin()).map_err(std::io::Error::from)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(std::io::Error::from)?;
        Ok(Some(Self(before)))
    }

    fn without_echo(terminal: &File) -> std::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // The terminal may be gone, and with it whoever could be told.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Asks a question in the terminal, whatever standard input and output are. The answer to a secret one is not shown.
///
/// # Errors
/// When there is no terminal.
pub fn ask(question: &str, secret: bool) -> Result<String> {
    let no_terminal = |_| Failure::usage("there is no terminal to ask in");
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    write!(terminal, "{question}: ")?;
    let silent = if secret { Some(Changed::without_echo(&terminal)?) } else { None };
    let mut answer = Vec::new();
    let mut byte = [0];
    while terminal.read(&mut byte)? == 1 && byte[0] != b'\n' {
        answer.push(byte[0]);
    }
    if let Some(Changed(before)) = &silent {
        tcsetattr(&terminal, OptionalActions::Now, before).map_err(std::io::Error::from)?;
        writeln!(terminal)?;
    }
    let answer = String::from_utf8(answer).map_err(|_| Failure::usage("that was no text"))?;
    Ok(answer.trim_end_matches('\r').to_owned())
}

/// Keys as they are typed. A thread of its own reads them, since a read of a terminal cannot be given up; it ends with the process
/// or with the first key after the receiver is gone.
pub fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(64);
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
