//! The pages of administrators, with many keys: how long each takes, and how many bytes it sends.
//!
//! The router is asked as it is, with a session, one request after the other: all of the daemon but
//! its sockets. What is looked at is the time that one request in twenty takes longer than.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use lapsed::{
    clock::{Clock as _, SystemClock},
    domain::{
        identity::{PublicId, Role},
        life::Ask,
        policy::Policies,
        token::{Brand, Token},
    },
    http::{
        House, admin,
        v1::{Api, Guesses},
    },
    keyring::Keyring,
    shutdown::Shutdown,
    store::{
        Db, Engine,
        admin_tokens::{self, FORM, Holder, NewToken},
        policies::PolicyBook,
        who::Who,
    },
};
use tower::ServiceExt as _;

use crate::{
    args::Args,
    fleet::{DAY, DueTo, Fleet},
    installation::Installation,
    measure::{Goal, Ratio, Table, grouped, time, timed},
    place::{Place, within},
};

/// How long a page may take, in seconds.
const LONGEST: f64 = 0.2;
/// How many bytes a page may send.
const LARGEST: usize = 50_000;
/// Requests that are not counted: statements are prepared, pages are read.
const WARM_UP: usize = 5;

pub(crate) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    for engine in args.engines() {
        within(args, engine, async |place| on(args, place, table).await).await?;
    }
    Ok(())
}

async fn on(args: &Args, place: &Place, table: &mut Table) -> anyhow::Result<()> {
    let n_keys = args.page_keys();
    let now = SystemClock.now();
    Fleet::new(n_keys, n_keys / 10, now, DueTo::Sweep).fill(place).await?;
    // Something ends on each of the days that the overview shows.
    let now = now.timestamp_millis();
    let days = format!("{now} + {DAY} * (1 + id % 89)");
    let others = format!("state = 1 AND next_action_at > {now}");
    place.execute(&format!("UPDATE api_keys SET expires_at = {days} WHERE {others}")).await?;
    if place.engine == Engine::Postgres {
        // Rows with numbers of their own have not moved its counters on.
        for table in ["tenants", "environments", "owners", "api_keys"] {
            let most = format!("(SELECT MAX(id) FROM {table})");
            place.execute(&format!("SELECT setval('{table}_id_seq', {most})")).await?;
        }
    }
    let db = place.open().await?;
    let desk = Desk::open(db.clone(), args).await?;
    // Some of them are told, so that there are notices, mails and a trail.
    desk.installation.job("sweep").await?;
    desk.installation.job("deliver").await?;
    place.tidy().await?;
    let id = place.lines("SELECT public_id FROM api_keys WHERE id = 777").await?.remove(0);
    let owner = place.lines("SELECT public_id FROM owners WHERE id = 777").await?.remove(0);
    let rounds = if args.quick { 60 } else { 200 };
    for path in [
        "/admin".to_owned(),
        "/admin/keys".to_owned(),
        "/admin/keys?tenant=tenant-3".to_owned(),
        "/admin/keys?state=window".to_owned(),
        "/admin/keys?q=service+7777".to_owned(),
        format!("/admin/keys/{id}"),
        "/admin/owners".to_owned(),
        format!("/admin/owners/{owner}"),
        "/admin/notices".to_owned(),
        "/admin/audit".to_owned(),
    ] {
        let (mut times, mut largest) = (Vec::new(), 0);
        for round in 0..WARM_UP + rounds {
            let (n_bytes, took) = timed(desk.get(&path)).await?;
            largest = largest.max(n_bytes);
            if WARM_UP <= round {
                times.push(took);
            }
        }
        let path = path.replace(&id, "ID").replace(&owner, "ID");
        tell(
            table,
            &format!("`{path}`, {:?}, {} keys", place.engine, grouped(n_keys)),
            times,
            largest,
        );
    }
    db.close().await?;
    Ok(())
}

fn tell(table: &mut Table, what: &str, mut times: Vec<Duration>, n_bytes: usize) {
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64();
    table.add(
        format!("{what}: median, 95th percentile"),
        time(at(50)),
        time(at(95)),
        Ratio::of(vec![at(95) / LONGEST]),
        Goal::AtMost(1.0),
    );
    table.add(
        format!("{what}: bytes"),
        grouped(LARGEST as u64),
        grouped(n_bytes as u64),
        Ratio::of(vec![n_bytes as f64 / LARGEST as f64]),
        Goal::AtMost(1.0),
    );
}

/// The pages of a daemon, with somebody signed in.
struct Desk {
    installation: Installation,
    router: Router,
    cookie: String,
}

impl Desk {
    async fn open(db: Db, args: &Args) -> anyhow::Result<Self> {
        let installation = Installation::new(db.clone(), args.batch())?;
        let keyring = Arc::new(Keyring::throwaway());
        let brand = Brand::new("lp").context("a brand")?;
        let api = Api::new(Shutdown::new(), Guesses::default());
        let runner = installation.runner.clone();
        api.reached(Arc::new(House { db: db.clone(), runner, brand, keyring: keyring.clone() }));
        let router = admin::router(api);
        let (id, (kind, class)) = (PublicId::from_random(rand::random()), FORM);
        let token = Token::new(brand, kind, class, id, &rand::random());
        let new = NewToken {
            public_id: id,
            owner: Holder::Nobody,
            owner_public_id: PublicId::from_random(rand::random()),
            mac: &token.mac(keyring.pepper()),
            name: &"bench".parse()?,
            role: Role::Admin,
            tenant_id: None,
            ask: Ask::Default,
        };
        let book = PolicyBook::new(Policies::default());
        admin_tokens::create(&db, &book, Who::Local("bench"), &new).await?;
        let form = format!("token={}", token.expose());
        let request = Request::post("/admin/sign-in")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form))?;
        let answer = router.clone().oneshot(request).await?;
        let cookie = answer.headers().get("set-cookie").context("sign in")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { installation, router, cookie })
    }

    /// Reads a page, and counts its bytes.
    async fn get(&self, path: &str) -> anyhow::Result<usize> {
        let request = Request::get(path).header("cookie", &self.cookie).body(Body::empty())?;
        let answer = self.router.clone().oneshot(request).await?;
        ensure!(answer.status().is_success(), "{path} is answered with {}", answer.status());
        Ok(answer.into_body().collect().await?.to_bytes().len())
    }
}
