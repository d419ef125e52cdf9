//! Verification, without layers.
//!
//! It is asked for a thousand times as often as all the rest, and each layer of a router puts the
//! request, its answer and what is done in between into boxes once more. So what the layers do for
//! every other route is done here by the handlers themselves.

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use crate::http::{
    Vitals,
    attend::attend_to,
    problem::{Problem, method_not_allowed},
    v1::{
        MAX_BODY,
        api::Api,
        carry_out,
        guesses::Asker,
        input::Body,
        verify::{Presented, forward_auth, verify},
    },
};

/// What answers.
#[derive(Clone)]
struct Direct {
    api: Api,
    /// Where answers are counted, if they are.
    vitals: Option<Vitals>,
}

/// The routes of verification.
pub(super) fn router(api: Api, vitals: Option<Vitals>) -> Router {
    Router::new()
        .route("/v1/keys/verify", post(key).fallback(wrong_method))
        .route("/v1/forward-auth", get(gateway).fallback(wrong_method))
        .with_state(Direct { api, vitals })
}

async fn key(State(direct): State<Direct>, request: Request) -> Response {
    let work = async |api: Api, request: Request| {
        let (parts, body) = request.into_parts();
        let asker = Asker::of(&parts, &api);
        let body = Body::<Presented>::from_request(Request::from_parts(parts, body), &api).await?;
        verify(State(api), asker, body).await
    };
    direct.answer(request, work).await
}

async fn gateway(State(direct): State<Direct>, request: Request) -> Response {
    let work = async |api: Api, request: Request| {
        let (parts, _) = request.into_parts();
        let asker = Asker::of(&parts, &api);
        let headers: HeaderMap = parts.headers;
        forward_auth(State(api), asker, headers).await
    };
    direct.answer(request, work).await
}

async fn wrong_method(State(direct): State<Direct>, request: Request) -> Response {
    direct.answer(request, |_, _| async { Err::<(), _>(method_not_allowed().await) }).await
}

impl Direct {
    async fn answer<T, F>(self, request: Request, work: impl FnOnce(Api, Request) -> F) -> Response
    where
        T: IntoResponse,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let Self { api, vitals } = self;
        let answer = async |mut request: Request| {
            DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
            let work = work(api.clone(), request);
            carry_out(&api, async { work.await.into_response() }).await
        };
        match vitals {
            Some(vitals) => attend_to(&vitals, request, answer).await,
            None => answer(request).await,
        }
    }
}
