//! How fast `POST /v1/keys/verify` is, beside a bare axum handler that does nothing but the one
//! indexed read: the whole daemon against the least that could answer, on the same database, over
//! real HTTP, with the same client, in turns.
//!
//! `cargo bench --bench verify -- [--rounds 11] [--connections 16] [--requests 4000]`
//!
//! SQLite and PostgreSQL (`TEST_POSTGRES_URL`). Ratios are of rounds in pairs, so that a busy
//! machine spoils both; the middle of them counts. Ends with 1 where a promise is missed.
#![expect(clippy::print_stdout, reason = "a benchmark tells what it measured")]

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};

use tokio_util::task::TaskTracker;

use crate::{
    bare::Bare,
    client::{Round, run},
    house::House,
};

mod bare;
mod client;
mod house;

/// Requests per second, against the bare handler, at least.
const LEAST_RATE: f64 = 0.8;
/// The time that one request in a hundred takes longer than, against the bare handler, at most.
const MOST_P99: f64 = 2.0;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    rounds: usize,
    connections: usize,
    requests: usize,
}

impl Plan {
    fn of_arguments() -> anyhow::Result<Self> {
        let mut plan = Self { rounds: 11, connections: 16, requests: 4000 };
        // Cargo says `--bench` to every benchmark.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let number = words.next().and_then(|text| text.parse::<usize>().ok());
            let number = number.filter(|number| *number > 0);
            let number = number.with_context(|| format!("{word} takes a number"))?;
            match word.as_str() {
                "--rounds" => plan.rounds = number,
                "--connections" => plan.connections = number,
                "--requests" => plan.requests = number,
                _ => bail!("there is no option {word}"),
            }
        }
        Ok(plan)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let plan = Plan::of_arguments()?;
    println!(
        "{} rounds in pairs of {} requests over {} connections",
        plan.rounds, plan.requests, plan.connections
    );
    let mut is_kept = true;
    for engine in ["sqlite", "postgres"] {
        let house = House::build(engine).await.with_context(|| format!("set {engine} up"))?;
        is_kept &= speed(engine, plan, &house).await?;
        nobodys(engine, plan, &house).await?;
        house.down().await?;
    }
    if !is_kept {
        bail!("a promise was missed");
    }
    Ok(())
}

/// Compares the two, and says whether the promises were kept.
async fn speed(engine: &str, plan: Plan, house: &House) -> anyhow::Result<bool> {
    let bare = Bare::serve(&house.url, house.read, &TaskTracker::new()).await?;
    let ask = |address: SocketAddr, path: &str| {
        let keys = house.keys.iter().map(|key| body(key)).collect();
        run(address, path.to_owned(), keys, plan.connections, plan.requests)
    };
    // Once for nothing: connections are opened, statements prepared.
    ask(bare.address, "/verify").await?;
    ask(house.address, "/v1/keys/verify").await?;
    let (mut rates, mut tails, mut bares, mut wholes) = (vec![], vec![], vec![], vec![]);
    for n in 0..plan.rounds {
        // Who goes first takes turns too.
        let (of_bare, of_house) = if n % 2 == 0 {
            let of_bare = ask(bare.address, "/verify").await?;
            (of_bare, ask(house.address, "/v1/keys/verify").await?)
        } else {
            let of_house = ask(house.address, "/v1/keys/verify").await?;
            (ask(bare.address, "/verify").await?, of_house)
        };
        rates.push(of_house.per_second / of_bare.per_second);
        tails.push(of_house.p99.as_secs_f64() / of_bare.p99.as_secs_f64());
        bares.push(of_bare);
        wholes.push(of_house);
    }
    let (rate, tail) = (middle(rates), middle(tails));
    let shown = |rounds: &[Round]| {
        let rates = rounds.iter().map(|round| round.per_second).collect();
        let tails = rounds.iter().map(|round| round.p99.as_secs_f64() * 1e3).collect();
        format!("{:>7.0}/s, p99 {:>5.2} ms", middle(rates), middle(tails))
    };
    println!("{engine}: bare     {}", shown(&bares));
    println!("{engine}: verify   {}", shown(&wholes));
    println!(
        "{engine}: rate {rate:.2} of the bare handler (at least {LEAST_RATE}), p99 {tail:.2} times (at most {MOST_P99})"
    );
    Ok(LEAST_RATE <= rate && tail <= MOST_P99)
}

/// Measures how long the answers take that say nothing: they must not tell an unknown key from a
/// wrong secret. One connection, in turns, so that one hides nothing of the other.
async fn nobodys(engine: &str, plan: Plan, house: &House) -> anyhow::Result<()> {
    let (mut all, requests) = (vec![Vec::new(); house.nobodys.len()], plan.requests / 10 + 1);
    for _ in 0..plan.rounds {
        for ((_, key), times) in house.nobodys.iter().zip(&mut all) {
            let keys = vec![body(key)];
            let round = run(house.address, "/v1/keys/verify".to_owned(), keys, 1, requests).await?;
            times.push(round.median.as_secs_f64() * 1e6);
        }
    }
    for ((what, _), times) in house.nobodys.iter().zip(all) {
        println!("{engine}: {what:<9} {:>6.1} us", middle(times));
    }
    Ok(())
}

fn body(key: &str) -> String {
    serde_json::json!({ "key": key }).to_string()
}

/// The middle one.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);
