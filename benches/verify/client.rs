//! The client: connections that are kept, each of which asks again as soon as it is answered.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

/// Posts `bodies` in turns until there were so many `requests`. Every answer must be 200.
pub(crate) async fn run(
    address: SocketAddr,
    path: String,
    bodies: Vec<String>,
    connections: usize,
    requests: usize,
) -> anyhow::Result<Round> {
    let texts: Arc<Vec<Vec<u8>>> = Arc::new(
        bodies
            .iter()
            .map(|body| {
                format!(
                    "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .into_bytes()
            })
            .collect(),
    );
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..connections {
        let texts = texts.clone();
        tasks.spawn(async move { connection(address, &texts, n, requests / connections).await });
    }
    let mut times = Vec::with_capacity(requests);
    while let Some(done) = tasks.join_next().await {
        times.extend(done.context("ask")??);
    }
    let took = began.elapsed();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    let per_second = times.len() as f64 / took.as_secs_f64();
    Ok(Round { per_second, median: at(50), p99: at(99) })
}

async fn connection(
    address: SocketAddr,
    texts: &[Vec<u8>],
    first: usize,
    requests: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut answer, mut times) = (Vec::new(), Vec::with_capacity(requests));
    for n in 0..requests.max(1) {
        // Steps that have nothing to do with the number of keys, so that all are asked for.
        let text = &texts[(first * 7919 + n * 31) % texts.len()];
        let asked_at = Instant::now();
        stream.write_all(text).await?;
        read(&mut stream, &mut answer).await?;
        times.push(asked_at.elapsed());
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(times)
}

/// Reads one answer.
async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    loop {
        ensure!(stream.read_buf(answer).await? > 0, "the server hung up");
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head])?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("an answer says how long it is")?.parse()?;
        if head + 4 + length <= answer.len() {
            return Ok(());
        }
    }
}
