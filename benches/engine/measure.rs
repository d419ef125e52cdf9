//! Times, medians, and the table of results.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How `work` went, and how long it took.
pub(crate) async fn timed<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, Duration)> {
    let began = Instant::now();
    let result = work.await?;
    Ok((result, began.elapsed()))
}

/// Times of two things that were measured in turns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    reference: Vec<f64>,
    ours: Vec<f64>,
}

impl Pairs {
    /// Adds one round.
    pub(crate) fn add(&mut self, reference: Duration, ours: Duration) {
        self.reference.push(reference.as_secs_f64());
        self.ours.push(ours.as_secs_f64());
    }

    /// The median time of the reference, in seconds.
    pub(crate) fn reference(&self) -> f64 {
        median(self.reference.clone())
    }

    /// The median time of ours, in seconds.
    pub(crate) fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    /// In how many times the reference's time ours is done, round by round.
    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.reference).map(|(ours, reference)| ours / reference).collect()
    }

    /// The median, over the rounds, of our time in times of the reference.
    pub(crate) fn cost(&self) -> Ratio {
        Ratio::of(self.ratios())
    }

    /// The median, over the rounds, of our rate in times of the reference.
    pub(crate) fn speed(&self) -> Ratio {
        Ratio::of(self.ratios().into_iter().map(|ratio| 1.0 / ratio).collect())
    }
}

/// A ratio that was measured several times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    /// The one in the middle.
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Ratio {
    /// Of all that were measured.
    pub(crate) fn of(all: Vec<f64>) -> Self {
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = all.iter().copied().fold(0.0, f64::max);
        Self { median: median(all), least, most }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

/// The one in the middle; the mean of the two, if there are two.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    match (all.get(middle.wrapping_sub(1)), all.get(middle)) {
        (Some(below), Some(above)) if all.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(middle)) => *middle,
        _ => f64::NAN,
    }
}

/// What is wanted of a ratio.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// As much, or more.
    AtLeast(f64),
    /// So much, or less.
    AtMost(f64),
    /// Nothing: it is there to be seen.
    None,
}

/// The results, a line each.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<[String; 6]>,
}

impl Table {
    /// Adds a result, and tells it at once.
    pub(crate) fn add(
        &mut self,
        what: String,
        reference: String,
        ours: String,
        ratio: Ratio,
        goal: Goal,
    ) {
        let (goal, is_met) = match goal {
            Goal::AtLeast(goal) => (format!("≥ {goal}"), Some(goal <= ratio.median)),
            Goal::AtMost(goal) => (format!("≤ {goal}"), Some(ratio.median <= goal)),
            Goal::None => (String::new(), None),
        };
        let is_met = is_met.map_or("", |is_met| if is_met { "yes" } else { "NO" }).to_owned();
        let line = [what, reference, ours, ratio.to_string(), goal, is_met];
        println!("{}", line.join(" | "));
        self.lines.push(line);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | reference | lapsed | ratio | goal | met |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for line in &self.lines {
            writeln!(f, "| {} |", line.join(" | "))?;
        }
        Ok(())
    }
}

/// So many in so many seconds, as people read it.
pub(crate) fn rate(n: u64, seconds: f64) -> String {
    format!("{}/s", grouped((n as f64 / seconds).round() as u64))
}

/// A time, as people read it.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        0.001.. => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.0} µs", seconds * 1e6),
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What else the machine was doing: without it, no figure means anything.
pub(crate) fn surroundings() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!("cores {cores}, load {}", load.join(" "))
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "nobody stops a benchmark but by force")]
pub(crate) async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}
