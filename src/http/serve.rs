//! Connections: how many, how long, and what becomes of them when the daemon stops.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    http::client::Peer,
    shutdown::{Shutdown, pause},
};

/// Connections at a time. More of them wait in the system's queue.
const MAX_CONNECTIONS: usize = 512;
/// How long a client may take for the head of a request, and how long a connection may be idle.
/// Less than the grace of a stop, so that no silent client can spoil one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after the system could not give a connection away: it is out of something.
const RETRY: Duration = Duration::from_secs(1);

/// Serves `router` on `listener` until `shutdown`. Requests that are under way then are answered;
/// idle connections are closed.
///
/// `axum::serve` would let a client that says nothing keep its connection for ever, and would
/// keep connections in tasks that shutdown knows nothing of.
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accept = async {
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = shutdown.token.cancelled() => return,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let peer = Peer(from.ip());
                let connection = connection(stream, peer, router.clone(), shutdown.token.clone());
                shutdown.tracker.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!("Failed to accept a connection: {error}");
                pause(&shutdown.token, RETRY).await;
            }
        }
    }
}

/// Answers the requests of one client, one after the other; each with where it came from.
async fn connection(stream: TcpStream, peer: Peer, router: Router, token: CancellationToken) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = token.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!("A connection ended badly: {error}");
    }
}
