//! How many requests of the pages are served, to each client and to all together.
//!
//! Nobody guesses a link or a token, so this is only to keep one client from busying the database,
//! and from keeping others out. It counts in memory, so it is each replica's own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::http::{
    client::Proxies,
    pages,
    purses::{Purses, Rate},
};

/// How many requests one client may send at once, and how many more in each second after that.
const OF_ONE: Rate = Rate { burst: 60.0, per_second: 5.0 };
/// The same for all clients together.
const OF_ALL: Rate = Rate { burst: 500.0, per_second: 100.0 };

/// What each client and all together may still ask for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Paces {
    proxies: Proxies,
    purses: Arc<Mutex<Purses>>,
}

impl Paces {
    /// For clients that come directly, or through these proxies.
    pub fn new(proxies: Proxies) -> Self {
        let purses = Purses::new(OF_ONE, OF_ALL, Instant::now());
        Self { proxies, purses: Arc::new(Mutex::new(purses)) }
    }
}

/// Lets a request in, or says that there are too many. What pages load can be kept for ever, and does
/// not count.
pub(super) async fn admit(State(paces): State<Paces>, request: Request, next: Next) -> Response {
    let client = paces.proxies.client(request.extensions(), request.headers());
    let is_free = request.uri().path().starts_with("/assets/");
    let pays = || {
        let mut purses = paces.purses.lock().unwrap_or_else(PoisonError::into_inner);
        purses.pays(client, Instant::now())
    };
    if is_free || pays() { next.run(request).await } else { pages::busy(request.headers()) }
}
