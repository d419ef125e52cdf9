//! Watching a daemon from outside: patience, and the least HTTP client there is.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of the header called `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body, which is JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Asks `address` for `path`.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, "GET", path, "").await
}

/// Sends a request with the lines of `headers`, each ended by CRLF.
pub async fn send(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    send_body(address, method, path, headers, "").await
}

/// As [`send`], with a body whose length the headers tell.
pub async fn send_body(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Waits until `is_so`: for work that goes on by itself, in tasks or in another process.
pub async fn until(is_so: impl AsyncFn() -> bool) {
    let patiently = async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        while !is_so().await {
            again.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), patiently).await.expect("it comes true in time");
}
