//! How far a task is, told from deep inside the work to whoever watches. Telling costs a lock and is never lost work: only the
//! latest news of a task is kept.

use std::sync::Arc;

type Sink = dyn Fn(i32, &str) + Send + Sync;

/// Tells how far a task is.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<Sink>,
    from: i32,
    to: i32,
}

impl Progress {
    /// Tells a sink, which gets 0 to 100 and what is being done.
    pub fn new(sink: impl Fn(i32, &str) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), from: 0, to: 100 }
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::new(|_, _| {})
    }

    /// A part of this progress: its 0 to 100 are `from` to `to` of ours.
    #[must_use]
    pub fn part(&self, from: i32, to: i32) -> Self {
        let scale = |percent: i32| self.from + (self.to - self.from) * percent.clamp(0, 100) / 100;
        Self { sink: self.sink.clone(), from: scale(from), to: scale(to) }
    }

    /// Tells.
    pub fn tell(&self, percent: i32, message: &str) {
        (self.sink)(self.from + (self.to - self.from) * percent.clamp(0, 100) / 100, message);
    }

    /// Tells how many bytes of how many are done.
    pub fn tell_bytes(&self, done: u64, total: Option<u64>, verb: &str) {
        const MIB: u64 = 1 << 20;
        match total {
            Some(total) if total > 0 => {
                let percent = i32::try_from(u128::from(done.min(total)) * 100 / u128::from(total)).unwrap_or(100);
                self.tell(percent, &format!("{verb} {} of {} MiB", done / MIB, total.div_ceil(MIB)));
            }
            _ => self.tell(0, &format!("{verb} {} MiB", done / MIB)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[test]
    fn parts_scale_into_their_share() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let progress = Progress::new(move |percent, _| sink.lock().push(percent));
        let half = progress.part(50, 100);
        half.tell(0, "a");
        half.part(0, 50).tell(100, "b");
        half.tell(100, "c");
        assert_eq!(*told.lock(), [50, 75, 100]);
    }
}
