//! The bytes between us and the relay, in the clear or under TLS, and the replies that are read
//! before lettre takes over.
//!
//! Greeting, `EHLO` and `STARTTLS` are ours for two reasons: to know at which of them it went
//! wrong, and so that nothing said in the clear is still in a buffer when TLS begins
//! (CVE-2011-0411 and its many cousins).

use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::reply::Reply;

/// Longest reply we are willing to read, in bytes.
const MAX_REPLY: usize = 64 * 1024;

/// What lettre reads in place of the relay's greeting, which we have read already.
const GREETING: &[u8] = b"220 greeted already\r\n";

/// A connection to the relay.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// What is read before anything from the stream.
    first: &'static [u8],
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { stream: Stream::Plain(stream), first: b"" }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), first: b"" }
    }

    /// Gives the bare connection back, for TLS to begin on it.
    pub(super) fn into_tcp(self) -> Result<TcpStream, String> {
        match self.stream {
            Stream::Plain(stream) => Ok(stream),
            Stream::Tls(_) => Err("TLS has begun already".to_owned()),
        }
    }

    /// Makes the connection look new: lettre wants to read a greeting.
    pub(super) fn greeted(self) -> Self {
        Self { first: GREETING, ..self }
    }

    /// Writes one command and reads the lines of its reply.
    pub(super) async fn ask(&mut self, command: impl Display) -> Result<Lines, String> {
        let line = format!("{command}\r\n");
        self.write_all(line.as_bytes()).await.map_err(|err| err.to_string())?;
        self.flush().await.map_err(|err| err.to_string())?;
        self.hear().await
    }

    /// Reads one reply. It is an error if the relay says more than that: nobody asked, and what
    /// comes unasked before `STARTTLS` may come from someone else.
    pub(super) async fn hear(&mut self) -> Result<Lines, String> {
        let mut heard = Vec::with_capacity(512);
        loop {
            if let Some(lines) = Lines::parse(&heard)? {
                return Ok(lines);
            }
            if heard.len() > MAX_REPLY {
                return Err("the reply is too long".to_owned());
            }
            let n_read = self.read_buf(&mut heard).await.map_err(|err| err.to_string())?;
            if n_read == 0 {
                return Err("the relay closed the connection".to_owned());
            }
        }
    }
}

/// The lines of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    code: u16,
    texts: Vec<String>,
}

impl Lines {
    /// `None` if the reply is not complete yet.
    fn parse(heard: &[u8]) -> Result<Option<Self>, String> {
        let heard = String::from_utf8_lossy(heard);
        let Some(whole) = heard.strip_suffix('\n') else { return Ok(None) };
        let mut reply: Option<Self> = None;
        let mut is_over = false;
        for line in whole.split('\n') {
            if is_over {
                return Err("the relay says more than it was asked".to_owned());
            }
            let line = line.trim_end_matches('\r');
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let mark = line.as_bytes().get(3).unwrap_or(&b' ');
            let (Some(code @ 200..=599), b' ' | b'-') = (code, mark) else {
                return Err("this is no reply of an SMTP server".to_owned());
            };
            is_over = *mark == b' ';
            let reply = reply.get_or_insert(Self { code, texts: Vec::new() });
            if reply.code != code {
                return Err("the lines of a reply contradict each other".to_owned());
            }
            reply.texts.push(line.get(4..).unwrap_or_default().to_owned());
        }
        Ok(reply.filter(|_| is_over))
    }

    /// Whether a reply to `EHLO` has this keyword. The first line is the relay's name.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        let mut words = self.texts.iter().skip(1).filter_map(|line| line.split(' ').next());
        words.any(|word| word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn code(&self) -> u16 {
        self.code
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply::new(self.code, &self.texts.join(" "))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let n_bytes = self.first.len().min(buf.remaining());
            let (now, later) = self.first.split_at(n_bytes);
            buf.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        let n_before = buf.filled().len();
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        // lettre gives a connection up over a reply that is not UTF-8. What matters is ASCII.
        for byte in buf.filled_mut()[n_before..].iter_mut().filter(|byte| !byte.is_ascii()) {
            *byte = b'?';
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.stream {
            Stream::Plain(stream) => stream.peer_addr(),
            Stream::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_is_read_to_its_end_and_not_beyond() {
        let hello = Lines::parse(b"250-relay STARTTLS\r\n250-Pipelining\r\n250 SIZE 1000\r\n");
        let hello = hello.unwrap().unwrap();
        assert!(hello.offers("PIPELINING") && hello.offers("SIZE"));
        assert!(!hello.offers("STARTTLS"), "that is the relay's name");
        assert_eq!(hello.into_reply().code, 250);

        for part in [&b""[..], b"2", b"220", b"220 hi\r", b"220-hi\r\n", b"220-hi\r\n220 a"] {
            assert_eq!(Lines::parse(part), Ok(None), "{}", part.escape_ascii());
        }
        for wrong in [
            &b"220 go\r\n250 evil\r\n"[..],
            b"220 go\r\nEHLO\r\n",
            b"220-a\r\n221 b\r\n",
            b"hello\r\n",
            b"99 x\r\n",
            b"\r\n",
        ] {
            assert!(Lines::parse(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }

    #[tokio::test]
    async fn a_reply_that_is_no_utf8_is_read_all_the_same() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        theirs.write_all(b"550 J\xf6rg\r\n").await.unwrap();
        let reply = Wire::plain(ours).hear().await.unwrap().into_reply();
        assert_eq!(reply.line(), "550 J?rg");
    }

    /// A reply as a relay may write it: its bytes, its code and how many lines it has.
    fn any_reply() -> impl Strategy<Value = (Vec<u8>, u16, usize)> {
        let text = "[ -~é]{0,40}";
        (200_u16..600, prop::collection::vec(text, 1..5), any::<bool>()).prop_map(
            |(code, texts, has_cr)| {
                let end = if has_cr { "\r\n" } else { "\n" };
                let line = |(n, text): (usize, &String)| {
                    let mark = if n + 1 == texts.len() { ' ' } else { '-' };
                    format!("{code}{mark}{text}{end}")
                };
                let bytes: String = texts.iter().enumerate().map(line).collect();
                (bytes.into_bytes(), code, texts.len())
            },
        )
    }

    proptest! {
        /// Whatever a relay says, and wherever it stops in the middle: a reply, an error, or more
        /// to come, and no panic.
        #[test]
        fn any_bytes_are_heard_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(lines)) = Lines::parse(&bytes) {
                let reply = lines.into_reply();
                prop_assert!((200..600).contains(&reply.code));
                prop_assert!(!reply.text.contains(char::is_control));
            }
        }

        #[test]
        fn a_reply_is_a_reply_when_its_last_byte_has_come((bytes, code, n_lines) in any_reply()) {
            for end in 0..bytes.len() {
                prop_assert_eq!(Lines::parse(&bytes[..end]), Ok(None), "{}", end);
            }
            let lines = Lines::parse(&bytes).unwrap().unwrap();
            prop_assert_eq!((lines.code, lines.texts.len()), (code, n_lines));
            // One more line would be the answer to something else.
            let more = [&bytes[..], b"250 ok\r\n"].concat();
            prop_assert!(Lines::parse(&more).is_err());
        }
    }
}
