//! One connection of the server.

use std::{io, sync::Mutex};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{Action, Mail, Plan, Seen, Step};

/// What AUTH PLAIN and AUTH LOGIN make of the account.
const PLAIN: &str = "AGxhcHNlZABvcGVuIHNlc2FtZQ==";
const LOGIN: [&str; 2] = ["bGFwc2Vk", "b3BlbiBzZXNhbWU="];

const WRONG_ORDER: &str = "503 5.5.1 not now";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Session<'a> {
    number: usize,
    plan: &'a Plan,
    seen: &'a Mutex<Seen>,
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    from: Option<String>,
    to: Vec<String>,
    last_rcpt: String,
    /// The script wants us to go, now that we have answered.
    goes: bool,
}

/// Serves one client until it goes, or the script wants us to.
pub(super) async fn hold(
    tcp: TcpStream,
    number: usize,
    plan: &Plan,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    let stream: Box<dyn Stream> = match &plan.implicit_tls {
        Some(acceptor) => Box::new(acceptor.accept(tcp).await?),
        None => Box::new(tcp),
    };
    let mut session = Session {
        number,
        plan,
        seen,
        stream,
        unread: Vec::new(),
        from: None,
        to: Vec::new(),
        last_rcpt: String::new(),
        goes: false,
    };
    session.answer(Step::Connect, "", "220 fault.example").await?;
    let mut may_starttls = plan.starttls.is_some();
    while !session.goes {
        let line = session.line().await?;
        seen.lock().unwrap().commands.push((number, line.clone()));
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => session.hello(&line, may_starttls).await?,
            "STARTTLS" if may_starttls => {
                session.starttls().await?;
                may_starttls = false;
            }
            "AUTH" => session.auth(&line).await?,
            "MAIL" => session.mail(&line).await?,
            "RCPT" => session.rcpt(&line).await?,
            "DATA" => session.data().await?,
            "RSET" => {
                session.end_transaction();
                session.say("250 2.0.0 forgotten").await?;
            }
            "NOOP" => session.say("250 2.0.0 here").await?,
            "QUIT" => return session.say("221 2.0.0 bye").await,
            _ => session.say("500 5.5.2 pardon?").await?,
        }
    }
    Ok(())
}

impl Session<'_> {
    async fn hello(&mut self, line: &str, may_starttls: bool) -> io::Result<()> {
        let mut reply = "250-fault.example\r\n".to_owned();
        if may_starttls {
            reply += "250-STARTTLS\r\n";
        }
        if self.plan.has_pipelining {
            reply += "250-PIPELINING\r\n";
        }
        if let Some(mechanisms) = self.plan.auth {
            reply += &format!("250-AUTH {mechanisms}\r\n");
        }
        self.answer(Step::Ehlo, line, &(reply + "250 8BITMIME")).await.map(drop)
    }

    async fn starttls(&mut self) -> io::Result<()> {
        let Some(acceptor) = &self.plan.starttls else { return Ok(()) };
        if self.answer(Step::StartTls, "STARTTLS", "220 2.0.0 go").await? == 220 {
            let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
            self.stream = Box::new(acceptor.accept(stream).await?);
        }
        Ok(())
    }

    async fn auth(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.split(' ').skip(1);
        let is_right = match words.next() {
            Some("PLAIN") => words.next() == Some(PLAIN),
            _ => {
                let mut is_right = true;
                for (question, answer) in ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"].into_iter().zip(LOGIN) {
                    self.say(&format!("334 {question}")).await?;
                    is_right &= self.line().await? == answer;
                }
                is_right
            }
        };
        let usual = if is_right { "235 2.7.0 welcome" } else { "535 5.7.8 who are you?" };
        self.answer(Step::Auth, line, usual).await.map(drop)
    }

    async fn mail(&mut self, line: &str) -> io::Result<()> {
        let usual = if self.from.is_none() { "250 2.1.0 ok" } else { WRONG_ORDER };
        if self.answer(Step::Mail, line, usual).await? == 250 {
            self.from = Some(address(line));
        }
        Ok(())
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<()> {
        self.last_rcpt = address(line);
        let usual = if self.from.is_some() { "250 2.1.5 ok" } else { WRONG_ORDER };
        if self.answer(Step::Rcpt, line, usual).await? == 250 {
            self.to.push(address(line));
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        let rcpt = self.last_rcpt.clone();
        let usual = if self.to.is_empty() { WRONG_ORDER } else { "354 go ahead" };
        if self.answer(Step::Data, &rcpt, usual).await? != 354 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        loop {
            let line = self.raw_line().await?;
            if line == b".\r\n" {
                break;
            }
            bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let (from, to) = self.end_transaction();
        let mail = Mail { connection: self.number, from, to, bytes };
        let usual = if mail.to.is_empty() { "554 5.5.1 for whom?" } else { "250 2.0.0 queued" };
        let action = (self.plan.script)(self.number, Step::Body, &rcpt);
        if let Action::AcceptThenClose = action {
            self.seen.lock().unwrap().mails.push(mail);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.carry_out(action, usual).await? == 250 {
            self.seen.lock().unwrap().mails.push(mail);
        }
        Ok(())
    }

    fn end_transaction(&mut self) -> (String, Vec<String>) {
        (self.from.take().unwrap_or_default(), std::mem::take(&mut self.to))
    }

    /// Asks the script what to answer. Gives the code of what was said.
    async fn answer(&mut self, step: Step, line: &str, usual: &str) -> io::Result<u16> {
        let action = (self.plan.script)(self.number, step, line);
        self.carry_out(action, usual).await
    }

    async fn carry_out(&mut self, action: Action, usual: &str) -> io::Result<u16> {
        self.goes = matches!(action, Action::ReplyThenClose(_));
        let said = match action {
            Action::Default => usual.to_owned(),
            Action::Reply(text) | Action::ReplyThenClose(text) => text,
            Action::Garbage => "once upon a time".to_owned(),
            Action::Stall => std::future::pending().await,
            Action::Wait(mut gate) => {
                drop(gate.wait_for(|is_open| *is_open).await);
                usual.to_owned()
            }
            Action::Close | Action::AcceptThenClose => {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        };
        self.say(&said).await?;
        Ok(said.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0))
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
        let line = self.raw_line().await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn raw_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|end| end == b"\r\n") {
                return Ok(self.unread.drain(..at + 2).collect());
            }
            let mut chunk = vec![0; 64 * 1024];
            let n_read = self.stream.read(&mut chunk).await?;
            if n_read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            chunk.truncate(n_read);
            self.unread.extend_from_slice(&chunk);
            self.seen.lock().unwrap().chunks.push((self.number, chunk));
        }
    }
}

/// What stands between the angle brackets of a command.
fn address(line: &str) -> String {
    let inner = line.split(['<', '>']).nth(1);
    inner.unwrap_or_default().to_owned()
}
