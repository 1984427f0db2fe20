//! The terminal under a console: keys one by one and unchanged while it is raw, and as it was before in every other moment.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::failure::{Failure, Result};

/// A changed terminal; dropping it puts back what was.
#[derive(Debug)]
pub struct Changed {
    terminal: OwnedFd,
    before: Termios,
}

impl Changed {
    fn new(terminal: impl AsFd, change: impl FnOnce(&mut Termios)) -> std::io::Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        change(&mut modes);
        tcsetattr(&terminal, OptionalActions::Now, &modes)?;
        Ok(Self { terminal, before })
    }

    /// Passes every key on, Ctrl-C included. None where standard input or output is no terminal.
    pub fn raw() -> Result<Option<Self>> {
        if !(stdin().is_terminal() && stdout().is_terminal()) {
            return Ok(None);
        }
        Ok(Some(Self::new(stdin(), Termios::make_raw)?))
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // The terminal may be gone, and with it whoever could be told.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Asks a question in the terminal, whatever standard input and output are. The answer to a secret one is not shown.
///
/// # Errors
/// When there is no terminal, or it is left with Ctrl-C.
pub fn ask(question: &str, secret: bool) -> Result<String> {
    let no_terminal = |_| Failure::usage("there is no terminal to ask in");
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    // The echo is off before the question shows, or the first keys could be seen. Signals are off with it: a Ctrl-C that ended the
    // process would leave a terminal that does not show what is typed.
    let silent = secret
        .then(|| {
            Changed::new(&terminal, |modes| {
                modes.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON);
            })
        })
        .transpose()?;
    write!(terminal, "{question}: ")?;
    let mut answer = Vec::new();
    let mut key = [0];
    while terminal.read(&mut key)? == 1 {
        match key[0] {
            b'\n' | b'\r' => break,
            // Ctrl-C and Ctrl-D
            0x03 | 0x04 => {
                drop(silent);
                writeln!(terminal)?;
                return Err(Failure::interrupted("interrupted"));
            }
            // Backspace in its two forms, and Ctrl-U
            0x08 | 0x7f => drop(answer.pop()),
            0x15 => answer.clear(),
            key => answer.push(key),
        }
    }
    if let Some(silent) = silent {
        drop(silent);
        writeln!(terminal)?;
    }
    String::from_utf8(answer).map_err(|_| Failure::usage("that was no text"))
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
