//! How long simulated work takes: always the same, or drawn from a distribution.
//!
//! | written | drawn |
//! | --- | --- |
//! | `20`, `constant:20ms` | always 20 ms |
//! | `20-50`, `uniform:20ms:50ms` | anything between, all alike |
//! | `exponential:50ms` | 50 ms on average; many are short, few are long |
//! | `lognormal:50ms:0.5` | half of them at most 50 ms; 0.5 is the deviation of the logarithm, so two thirds lie between 30 and 82 ms |
//!
//! What is drawn is never longer than [`LONGEST`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest delay that is drawn or can be asked for.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// How long simulated work takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delay {
    /// Between two times, all alike; always the same where they are one.
    Uniform {
        /// At least.
        least: Duration,
        /// At most.
        most: Duration,
    },
    /// Many short ones, few long ones.
    Exponential {
        /// On average.
        mean: Duration,
    },
    /// As things that depend on many factors take: near the median mostly, with a long tail.
    LogNormal {
        /// Half are at most this.
        median: Duration,
        /// The standard deviation of the natural logarithm.
        sigma: f64,
    },
}

impl Default for Delay {
    fn default() -> Self {
        Self::of(Duration::ZERO)
    }
}

impl Delay {
    /// Always the same.
    pub fn of(delay: Duration) -> Self {
        Self::Uniform { least: delay, most: delay }
    }

    /// Whether nothing ever takes time.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is the same every time.
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Uniform { least, most } if least == most)
    }

    /// Draws one, from numbers of `[0, 1)`.
    pub fn draw(&self, mut dice: impl FnMut() -> f64) -> Duration {
        let drawn = match *self {
            Self::Uniform { least, most } if least == most => return least,
            Self::Uniform { least, most } => least + (most - least).mul_f64(dice()),
            Self::Exponential { mean } => scaled(mean, -(1.0 - dice()).ln()),
            Self::LogNormal { median, sigma } => {
                // Box and Muller's way from two even numbers to a normal one
                let (radius, turn) = ((-2.0 * (1.0 - dice()).ln()).sqrt(), std::f64::consts::TAU * dice());
                scaled(median, (sigma * radius * turn.cos()).exp())
            }
        };
        drawn.min(LONGEST)
    }
}

fn scaled(time: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * by).unwrap_or(LONGEST)
}

impl fmt::Display for Delay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform { least, most } if least == most => write!(formatter, "constant:{least:?}"),
            Self::Uniform { least, most } => write!(formatter, "uniform:{least:?}:{most:?}"),
            Self::Exponential { mean } => write!(formatter, "exponential:{mean:?}"),
            Self::LogNormal { median, sigma } => write!(formatter, "lognormal:{median:?}:{sigma}"),
        }
    }
}

/// Reads `20`, `20ms` or `2s`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write 20ms or 2s");
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let time = match unit {
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err(wrong()),
    };
    if time > LONGEST { Err(format!("{text:?} is longer than {LONGEST:?}")) } else { Ok(time) }
}

fn uniform(least: &str, most: &str) -> Result<Delay, String> {
    let (least, most) = (time(least)?, time(most)?);
    if least > most {
        return Err(format!("{least:?} is longer than {most:?}; write the shorter time first"));
    }
    Ok(Delay::Uniform { least, most })
}

fn read(text: &str) -> Result<Delay, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [one] => {
            let (least, most) = one.split_once('-').unwrap_or((one, one));
            uniform(least, most)
        }
        ["constant", one] => time(one).map(Delay::of),
        ["uniform", least, most] => uniform(least, most),
        ["exponential", mean] => Ok(Delay::Exponential { mean: time(mean)? }),
        ["lognormal", median, sigma] => match sigma.parse() {
            Ok(sigma) if (0.0..=5.0).contains(&sigma) => Ok(Delay::LogNormal { median: time(median)?, sigma }),
            _ => Err(format!("the deviation of a lognormal delay must be 0 to 5, got {sigma:?}")),
        },
        _ => Err(
            "it must be like constant:20ms, uniform:20ms:50ms, exponential:50ms, lognormal:50ms:0.5, or milliseconds \
             such as 20 or 20-50"
                .to_owned(),
        ),
    }
}

impl FromStr for Delay {
    type Err = String;

    /// Reads what the head of the module shows.
    fn from_str(text: &str) -> Result<Self, String> {
        read(text).map_err(|why| format!("{text:?} is no delay: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn delays_are_read() {
        for (text, delay) in [
            ("20", Delay::of(ms(20))),
            ("constant:2s", Delay::of(ms(2000))),
            ("20-50", Delay::Uniform { least: ms(20), most: ms(50) }),
            ("uniform:20ms:50ms", Delay::Uniform { least: ms(20), most: ms(50) }),
            ("exponential:50ms", Delay::Exponential { mean: ms(50) }),
            ("lognormal:50ms:0.5", Delay::LogNormal { median: ms(50), sigma: 0.5 }),
        ] {
            assert_eq!(text.parse(), Ok(delay));
            assert_eq!(delay.to_string().parse(), Ok(delay), "{delay}");
        }
        for (text, why) in [
            ("50-20", "shorter time first"),
            ("soon", "is no time"),
            ("uniform:20ms", "it must be like"),
            ("lognormal:50ms:9", "0 to 5"),
            ("lognormal:50ms:nan", "0 to 5"),
            ("exponential:-1ms", "is no time"),
            ("constant:9000s", "longer than"),
        ] {
            let error = text.parse::<Delay>().expect_err(text);
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }

    /// The share of many draws that is at most this.
    fn share(delay: &str, most: Duration) -> f64 {
        let delay: Delay = delay.parse().expect("sound");
        let dice = crate::drivers::simulator::Faults::seeded(7);
        let drawn = (0..20_000).filter(|_| delay.draw(|| dice.roll()) <= most).count();
        drawn as f64 / 20_000.0
    }

    #[test]
    fn delays_are_drawn_as_their_distributions_say() {
        let near = |share: f64, expected: f64| assert!((share - expected).abs() < 0.02, "{share}, not {expected}");
        near(share("uniform:20ms:60ms", ms(30)), 0.25);
        assert_eq!(share("uniform:20ms:60ms", ms(19)), 0.0);
        near(share("exponential:50ms", ms(50)), 1.0 - (-1.0_f64).exp());
        near(share("exponential:50ms", ms(150)), 1.0 - (-3.0_f64).exp());
        near(share("lognormal:50ms:0.5", ms(50)), 0.5);
        near(share("lognormal:50ms:0.5", Duration::from_secs_f64(0.050 * 0.5_f64.exp())), 0.841);
        assert_eq!(Delay::Exponential { mean: LONGEST }.draw(|| 0.999_999), LONGEST);
    }
}
