//! How the time of a sweep grows: with the keys that are due it should be a straight line, with
//! all other keys it should not grow at all.

use anyhow::Context as _;
use lapsed::{
    clock::{Clock as _, SystemClock},
    store::Engine,
};

use crate::{
    args::Args,
    chart::{Curve, Panel, draw},
    fleet::Fleet,
    measure::{Goal, Ratio, Table, grouped, median, time},
    place::within,
    sweep,
};

/// Parts of the usual number that are due, in turn.
const DUE: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];
/// Parts of the usual number of keys that there are, in turn.
const ALL: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];

pub(crate) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let (mut by_due, mut by_all) = (Vec::new(), Vec::new());
    for engine in args.engines() {
        let (keys, due) = (args.keys(), args.due());
        let name = match engine {
            Engine::Sqlite => "SQLite",
            Engine::Postgres => "PostgreSQL",
            Engine::MariaDb => "MariaDB",
        };
        let mut points = Vec::new();
        for part in DUE {
            let n_due = scaled(due, part);
            points.push((n_due as f64, seconds(args, engine, keys.max(n_due * 5), n_due).await?));
        }
        let straight = straightness(&points);
        table.add(
            format!(
                "growth, {name}, {} to {} due keys: R² of a line",
                grouped(scaled(due, DUE[0])),
                grouped(scaled(due, DUE[4]))
            ),
            String::new(),
            points.iter().map(|(_, seconds)| time(*seconds)).collect::<Vec<_>>().join(", "),
            Ratio::of(vec![straight]),
            Goal::AtLeast(0.98),
        );
        by_due.push(Curve { name, points });

        let n_due = due / 5;
        let mut points = Vec::new();
        for part in ALL {
            let n_keys = scaled(keys, part).max(n_due * 5);
            points.push((n_keys as f64, seconds(args, engine, n_keys, n_due).await?));
        }
        let (first, last) = (points[0].1, points[points.len() - 1].1);
        table.add(
            format!(
                "growth, {name}, {} due of {} to {} keys: most against fewest",
                grouped(n_due),
                grouped(scaled(keys, ALL[0]).max(n_due * 5)),
                grouped(scaled(keys, ALL[4]))
            ),
            time(first),
            points.iter().map(|(_, seconds)| time(*seconds)).collect::<Vec<_>>().join(", "),
            Ratio::of(vec![last / first]),
            Goal::AtMost(1.5),
        );
        by_all.push(Curve { name, points });
    }
    let panels = [
        Panel {
            title: format!("Sweep among {} keys", grouped(args.keys())),
            axis: "due keys",
            curves: by_due,
        },
        Panel {
            title: format!("Sweep of {} due keys", grouped(args.due() / 5)),
            axis: "all keys",
            curves: by_all,
        },
    ];
    std::fs::write(&args.svg, draw(&panels))
        .with_context(|| format!("write {}", args.svg.display()))
}

/// The median time of a sweep in seconds.
async fn seconds(args: &Args, engine: Engine, keys: u64, due: u64) -> anyhow::Result<f64> {
    within(args, engine, async |place| {
        let fleet = Fleet::dense(keys, due, SystemClock.now());
        fleet.fill(place).await?;
        let (mut times, db) = (Vec::new(), place.open().await?);
        for _ in 0..args.rounds().min(3) {
            times.push(sweep::one(&db, args.batch(), fleet.due()).await?.as_secs_f64());
            fleet.reset(place).await?;
        }
        db.close().await?;
        Ok(median(times))
    })
    .await
}

fn scaled(n: u64, part: f64) -> u64 {
    // A part of a number of keys is a number of keys.
    (n as f64 * part).round() as u64
}

/// How near the points lie to a straight line: 1 is on it.
fn straightness(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|point| of(point.0 - x, point.1 - y)).sum()
    };
    sum(&|dx, dy| dx * dy).powi(2) / (sum(&|dx, _| dx * dx) * sum(&|_, dy| dy * dy))
}
