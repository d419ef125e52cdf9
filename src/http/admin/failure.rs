//! What was refused, as a page. Handlers answer with the API's problems; a page is made of them
//! where the language and the visitor are known.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use maud::html;

use crate::http::{
    admin::{shell, visit::Visit},
    pages::words::Language,
    problem::Problem,
};

/// Refusals of which their own sentence says all there is.
const PLAIN: [&str; 4] = ["foreign-form", "otp-invalid", "otp-replayed", "otp-required"];

/// A refusal on its way to become a page.
#[derive(Debug)]
pub(super) struct Failure(Problem);

impl Failure {
    /// A refusal that is all in its word.
    pub(super) fn refused(code: &'static str) -> Self {
        let status = match code {
            "forbidden" => StatusCode::FORBIDDEN,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self(Problem::new(status, "").code(code))
    }
}

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// The response; if it is a refusal, as a page, which leads back to where the `form` was.
pub(super) fn dressed(
    mut response: Response,
    language: Language,
    visit: Option<&Visit>,
    form: Option<&str>,
) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => page(language, visit, &problem, form),
        None => response,
    }
}

/// The page of a refusal.
pub(super) fn page(
    language: Language,
    visit: Option<&Visit>,
    problem: &Problem,
    form: Option<&str>,
) -> Response {
    let own = language.say(&format!("admin-problem-{}", problem.code));
    // Of what is not there, there is no page either.
    let form = form.filter(|_| problem.status != StatusCode::NOT_FOUND);
    let is_more = !problem.detail.is_empty() && (own.is_empty() || !PLAIN.contains(&problem.code));
    let body = html! {
        section.error role="alert" {
            @if !own.is_empty() { p { (own) } }
            @if is_more { p lang="en" { (problem.detail) } }
        }
        @match form {
            Some(form) => p { a href=(form) { (language.say("admin-back")) } },
            None => p { a href="/admin" { (language.say("admin-overview")) } },
        }
    };
    let title = language.say("admin-problem");
    let mut response = shell::page(language, visit, &title, "", &body);
    *response.status_mut() = problem.status;
    response
}

/// Answers a path that no page is at.
pub(super) async fn nothing() -> Failure {
    Problem::new(StatusCode::NOT_FOUND, "").code("not-found").into()
}

/// Answers a method that a page does not have.
pub(super) async fn wrong_method() -> Failure {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "").code("not-found").into()
}
