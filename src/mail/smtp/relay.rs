//! From nothing to a connection over which mail can be sent.

use std::time::Duration;

use lettre::transport::smtp::{
    Error,
    authentication::{self, Mechanism},
    client::AsyncSmtpConnection,
    extension::ClientId,
};
use secrecy::ExposeSecret;
use tokio::{net::TcpStream, time::timeout};
use tracing::debug;

use super::{
    Credentials, Security, SmtpSettings,
    connection::{Abilities, Connection},
    reply::Reply,
    tls::Tls,
    wire::{Lines, Wire},
};
use crate::{
    crash,
    mail::outcome::{Outcome, SmtpStage},
};

/// The relay, with everything prepared that all connections to it share.
pub(super) struct Relay {
    settings: SmtpSettings,
    hello: ClientId,
    /// `None` only if the settings say that no TLS is wanted.
    tls: Option<Tls>,
}

impl Relay {
    /// Reads the certificates to trust, and gets everything else ready. Connects to nothing yet.
    pub(super) async fn prepare(settings: &SmtpSettings) -> Result<Self, Outcome> {
        let settings = settings.clone();
        let prepared = tokio::task::spawn_blocking(move || Self::new(settings)).await;
        prepared.unwrap_or_else(|err| Err(trouble(SmtpStage::Tls)(err.to_string())))
    }

    fn new(mut settings: SmtpSettings) -> Result<Self, Outcome> {
        settings.mails_per_connection = settings.mails_per_connection.max(1);
        let tls = match settings.security {
            Security::Insecure => None,
            Security::ImplicitTls | Security::StartTls => {
                let tls = Tls::new(&settings.host, settings.ca_file.as_deref());
                Some(tls.map_err(trouble(SmtpStage::Tls))?)
            }
        };
        let hello = match &settings.hello {
            None => ClientId::default(),
            Some(name) if name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                ClientId::Domain(name.clone())
            }
            Some(name) => {
                let why = format!("`{}` is no name for `EHLO`", name.escape_default());
                return Err(Outcome::NotSent { stage: SmtpStage::Hello, why });
            }
        };
        Ok(Self { settings, hello, tls })
    }

    pub(super) fn settings(&self) -> &SmtpSettings {
        &self.settings
    }

    /// Connects, begins TLS as the settings demand it, and signs in.
    ///
    /// The sign-in and all mail go out only after this much has succeeded, in this order.
    pub(super) async fn connect(&self) -> Result<Connection, Outcome> {
        let limits = self.settings.timeouts;
        crash::point();
        let tcp = within(limits.connect, SmtpStage::Connect, self.dial()).await?;
        let (wire, hello) = self.greet(tcp).await?;

        // lettre says EHLO once more and keeps the answer to itself, and PIPELINING is nothing it
        // knows of. That is why we have asked, too.
        let speak = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &self.hello);
        let mut smtp = match timeout(limits.reply, speak).await {
            Ok(connected) => connected.map_err(|err| refused_or_lost(SmtpStage::Hello, err))?,
            Err(_) => return Err(trouble(SmtpStage::Hello)(no_answer(limits.reply))),
        };
        if let Some(credentials) = &self.settings.credentials {
            self.sign_in(&mut smtp, credentials).await?;
        }
        let abilities = Abilities {
            pipelining: hello.offers("PIPELINING"),
            eight_bit: hello.offers("8BITMIME"),
        };
        debug!(relay.host = self.settings.host, relay.port = self.settings.port, "Connected");
        Ok(Connection::new(smtp, abilities, limits))
    }

    async fn dial(&self) -> Result<TcpStream, String> {
        let SmtpSettings { host, port, .. } = &self.settings;
        let failed = |err: std::io::Error| format!("`{host}:{port}`: {err}");
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
        // Without this the kernel holds the end of each mail back for 40 ms.
        tcp.set_nodelay(true).map_err(failed)?;
        Ok(tcp)
    }

    /// Greeting, TLS and our `EHLO`: what lettre is not yet needed for.
    async fn greet(&self, tcp: TcpStream) -> Result<(Wire, Lines), Outcome> {
        use SmtpStage::{Connect, Hello, Tls};
        let limit = self.settings.timeouts.reply;
        let is_implicit = self.settings.security == Security::ImplicitTls;

        let mut wire = if is_implicit { self.begin_tls(tcp).await? } else { Wire::plain(tcp) };
        expect(Connect, 220, within(limit, Connect, wire.hear()).await?)?;
        let say_hello = format!("EHLO {}", self.hello);
        let mut hello = expect(Hello, 250, within(limit, Hello, wire.ask(&say_hello)).await?)?;
        if self.settings.security == Security::StartTls {
            if !hello.offers("STARTTLS") {
                let why = "the relay does not offer STARTTLS (or someone in between hides it)";
                return Err(trouble(Tls)(why.to_owned()));
            }
            expect(Tls, 220, within(limit, Tls, wire.ask("STARTTLS")).await?)?;
            wire = self.begin_tls(wire.into_tcp().map_err(trouble(Tls))?).await?;
            hello = expect(Hello, 250, within(limit, Hello, wire.ask(&say_hello)).await?)?;
        }
        Ok((wire.greeted(), hello))
    }

    async fn begin_tls(&self, tcp: TcpStream) -> Result<Wire, Outcome> {
        let Some(tls) = &self.tls else {
            return Err(trouble(SmtpStage::Tls)("TLS is not set up".to_owned()));
        };
        let limit = self.settings.timeouts.reply;
        within(limit, SmtpStage::Tls, tls.begin(tcp)).await.map(Wire::tls)
    }

    async fn sign_in(
        &self,
        smtp: &mut AsyncSmtpConnection,
        credentials: &Credentials,
    ) -> Result<(), Outcome> {
        let password = credentials.password.expose_secret().to_owned();
        let credentials = authentication::Credentials::new(credentials.username.clone(), password);
        let limit = self.settings.timeouts.reply;
        let auth = smtp.auth(&[Mechanism::Plain, Mechanism::Login], &credentials);
        match timeout(limit, auth).await {
            Ok(Ok(response)) if u16::from(response.code()) == 235 => Ok(()),
            Ok(Ok(_)) => Err(trouble(SmtpStage::Auth)("the relay never said yes or no".into())),
            Ok(Err(err)) => Err(refused_or_lost(SmtpStage::Auth, err)),
            Err(_) => Err(trouble(SmtpStage::Auth)(no_answer(limit))),
        }
    }
}

/// The words for a relay that went quiet.
pub(super) fn no_answer(limit: Duration) -> String {
    format!("no answer within {limit:?}")
}

fn trouble(stage: SmtpStage) -> impl Fn(String) -> Outcome {
    move |why| Outcome::NotSent { stage, why }
}

/// Gives `step` so much time, and names the stage it failed at.
async fn within<T>(
    limit: Duration,
    stage: SmtpStage,
    step: impl Future<Output = Result<T, String>>,
) -> Result<T, Outcome> {
    let done = timeout(limit, step).await.unwrap_or_else(|_| Err(no_answer(limit)));
    done.map_err(trouble(stage))
}

/// Passes a reply with `code` on. Any other is a refusal.
fn expect(stage: SmtpStage, code: u16, lines: Lines) -> Result<Lines, Outcome> {
    if lines.code() == code {
        return Ok(lines);
    }
    let reply = lines.into_reply();
    if reply.is_negative() {
        return Err(reply.refusal(stage));
    }
    Err(trouble(stage)(format!("expected {code}, but the relay said `{}`", reply.line())))
}

fn refused_or_lost(stage: SmtpStage, err: Error) -> Outcome {
    match Reply::from_lettre(Err(err)) {
        Ok(reply) => reply.refusal(stage),
        Err(why) => Outcome::NotSent { stage, why },
    }
}
