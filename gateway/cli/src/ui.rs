//! Progress for people, on standard error: a bar for each step in a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::human_size;

/// Where progress goes.
#[derive(Debug, Clone)]
pub struct Ui {
    look: Look,
    bars: MultiProgress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Bars,
    Lines,
    Nothing,
}

impl Ui {
    /// Bars in a terminal, lines elsewhere, nothing when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let look = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Look::Nothing,
            (false, true) => Look::Bars,
            (false, false) => Look::Lines,
        };
        let target = if look == Look::Bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { look, bars: MultiProgress::with_draw_target(target) }
    }

    /// Says something to people.
    pub fn say(&self, text: &str) {
        if self.look != Look::Nothing {
            self.bars.suspend(|| line(text));
        }
    }

    /// Begins a step that takes a while.
    pub fn step(&self, title: impl Into<String>) -> Step {
        let title = title.into();
        let bar = (self.look == Look::Bars).then(|| {
            let bar = self.bars.add(ProgressBar::new(100));
            bar.set_style(style("{spinner:.cyan} {prefix:28!} {bar:24.cyan/dim} {pos:>3}% {wide_msg:.dim}"));
            bar.set_prefix(title.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Step { title, bar, look: self.look, begun: Instant::now(), last: Mutex::new(String::new()) }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a broken one would fall back to a plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Standard error may be gone; nobody is left to tell then.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A step under way.
#[derive(Debug)]
pub struct Step {
    title: String,
    bar: Option<ProgressBar>,
    look: Look,
    begun: Instant,
    last: Mutex<String>,
}

impl Step {
    /// How far it is, and what is being done. Lines are written only when what is being done changes.
    pub fn progress(&self, percent: i32, doing: &str) {
        let doing: String = doing.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        match &self.bar {
            Some(bar) => {
                bar.set_position(u64::try_from(percent.clamp(0, 100)).unwrap_or(0));
                bar.set_message(doing);
            }
            None if self.look == Look::Lines && self.changed(&doing) => {
                line(&format!("{}: {percent}% {doing}", self.title));
            }
            None => {}
        }
    }

    /// How many bytes of a file went through.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        match (&self.bar, total) {
            (Some(bar), Some(total)) => {
                bar.set_position((u128::from(done) * 100 / u128::from(total.max(1))).try_into().unwrap_or(100));
                bar.set_message(format!("{} of {}", human_size(done), human_size(total)));
            }
            (Some(bar), None) => bar.set_message(human_size(done)),
            (None, _) if self.look == Look::Lines => {
                // A line for each tenth, or for each 64 MiB of an unknown whole.
                let mark = match total {
                    Some(total) => format!("{}0%", u128::from(done) * 10 / u128::from(total.max(1))),
                    None => human_size(done >> 26 << 26),
                };
                if self.changed(&mark) {
                    line(&format!("{}: {mark}", self.title));
                }
            }
            (None, _) => {}
        }
    }

    /// It ended well.
    pub fn done(self, text: &str) {
        self.end("done", text);
    }

    /// It ended badly.
    pub fn failed(self, text: &str) {
        self.end("failed", text);
    }

    fn end(self, word: &str, text: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let text = if text.is_empty() { String::new() } else { format!(": {text}") };
        match &self.bar {
            Some(bar) => {
                let mark = if word == "done" { "\u{2713}" } else { "\u{2717}" };
                bar.set_style(style("{msg}"));
                bar.finish_with_message(format!("{mark} {}{text} ({seconds:.1} s)", self.title));
            }
            None if self.look == Look::Lines => line(&format!("{}: {word}{text} ({seconds:.1} s)", self.title)),
            None => {}
        }
    }

    fn changed(&self, text: &str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = *last != text;
        if changed {
            text.clone_into(&mut last);
        }
        changed
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // A step that is given up leaves no moving bar behind.
        if let Some(bar) = &self.bar
            && !bar.is_finished()
        {
            bar.abandon();
        }
    }
}
