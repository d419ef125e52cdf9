//! Which early reminders an owner wants: the page of the link in an early reminder.
//!
//! The link can do this and nothing else, so that it may stand in a mail's header: mail services read
//! it, and post to it when their reader presses "unsubscribe" (RFC 8058). Nothing else is asked of
//! whoever has it, and a GET changes nothing.

use axum::{
    body::Bytes,
    extract::{FromRequestParts, Path},
    http::{StatusCode, request::Parts},
    response::Response,
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    domain::{link::LinkToken, wish::Wish},
    http::pages::{
        Pages,
        failure::{self, Failure},
        shell,
        words::Language,
    },
    mail::address::EmailAddress,
    store::owners::{self, Owner, OwnerChange},
};

/// What can be chosen, with the name of its message.
const CHOICES: [(Wish, &str); 4] = [
    (Wish::All, "wish-all"),
    (Wish::Within { days: 14 }, "wish-14"),
    (Wish::Within { days: 7 }, "wish-7"),
    (Wish::Last, "wish-last"),
];

/// An owner who came by their wish link.
pub(super) struct Chooser {
    pages: Pages,
    language: Language,
    path: String,
    owner: Owner,
}

impl FromRequestParts<Pages> for Chooser {
    /// The page that says why there is none.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let language = Language::of(&parts.headers);
        let found = async {
            let Path((id, token)) = Path::<(String, String)>::from_request_parts(parts, pages)
                .await
                .map_err(|_| Failure::BadForm)?;
            let token = LinkToken::parse(&token).map_err(|_| Failure::Gone)?;
            let house = pages.house()?;
            let deps = house.runner.deps();
            let links = deps.mailer.links.as_ref().ok_or(Failure::Gone)?;
            let owner = owners::find_by_public_id(house.db.conn(), &id).await?;
            let owner = owner
                .filter(|owner| links.key.is_wish_token(&token, &owner.public_id, &owner.email))
                .ok_or(Failure::Gone)?;
            let path = links.wish_path(&owner.public_id, &owner.email);
            Ok(Self { pages: pages.clone(), language, path, owner })
        };
        found.await.map_err(|failure| refuse(language, failure))
    }
}

fn refuse(language: Language, failure: Failure) -> Response {
    let Failure::Gone = failure else { return failure::page(language, failure) };
    let body = html! { section { p { (language.say("wish-gone")) } } };
    shell::page(language, StatusCode::GONE, &language.say("gone-title"), &body)
}

/// `GET /reminders/{owner}/{token}`
pub(super) async fn ask(chooser: Chooser) -> Response {
    chooser.page(false)
}

#[derive(Deserialize)]
struct WishForm {
    wish: String,
}

/// `POST /reminders/{owner}/{token}`: the form of the page, or a mail service's one click.
pub(super) async fn choose(mut chooser: Chooser, body: Bytes) -> Response {
    let language = chooser.language;
    let done = async {
        let wish = if is_one_click(&body) {
            Wish::Last
        } else {
            let form: WishForm =
                serde_urlencoded::from_bytes(&body).map_err(|_| Failure::BadForm)?;
            form.wish.parse().map_err(|_| Failure::BadForm)?
        };
        if wish != chooser.owner.wish {
            let actor = format!("owner {} by link", chooser.owner.public_id);
            let change = OwnerChange { wish: Some(wish), ..OwnerChange::default() };
            let db = &chooser.pages.house()?.db;
            chooser.owner = owners::change(db, &actor, &chooser.owner, &change).await?;
        }
        Ok(chooser.page(true))
    };
    done.await.unwrap_or_else(|failure| refuse(language, failure))
}

/// Whether a mail service sent this (RFC 8058 section 3.1): one field, in either of the forms that
/// forms have. Our own page has no field of that name.
fn is_one_click(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let after_name = text.split_once("List-Unsubscribe").map(|(_, rest)| rest);
    after_name.is_some_and(|rest| rest.contains("One-Click"))
}

impl Chooser {
    fn page(&self, is_saved: bool) -> Response {
        let say = |id: &str| self.language.say(id);
        // Whoever has the link need not be the owner: a mail may have been passed on.
        let address = self.owner.email.parse::<EmailAddress>();
        let address = address.map_or_else(|_| "***".to_owned(), |address| address.to_string());
        let body = html! {
            @if is_saved { section.saved role="status" { p.good { (say("wish-saved")) } } }
            section {
                p { (self.language.say_with("wish-note", "address", &address)) }
                form method="post" action=(self.path) {
                    fieldset {
                        legend { (say("wish-legend")) }
                        @for (wish, words) in self.choices() {
                            label {
                                input type="radio" name="wish" value=(wish) checked[wish == self.owner.wish];
                                (words)
                            }
                        }
                    }
                    p.soft { (say("wish-always")) }
                    button { (say("wish-save")) }
                }
            }
        };
        shell::page(self.language, StatusCode::OK, &say("wish-title"), &body)
    }

    /// What can be chosen, and what is chosen if that is something else.
    fn choices(&self) -> Vec<(Wish, String)> {
        let mut all: Vec<_> =
            CHOICES.iter().map(|(wish, id)| (*wish, self.language.say(id))).collect();
        if let Wish::Within { days } = self.owner.wish
            && all.iter().all(|(wish, _)| *wish != self.owner.wish)
        {
            let words = self.language.say_with("wish-days", "days", &days.to_string());
            all.insert(1, (self.owner.wish, words));
        }
        all
    }
}

/// What a key's page says of its reminders: where they are chosen.
pub(super) fn pointer(language: Language, pages: &Pages, owner: &Owner) -> Markup {
    let deps = pages.house().ok().map(|house| house.runner.deps());
    let links = deps.as_ref().and_then(|deps| deps.mailer.links.as_ref());
    html! {
        @if let Some(links) = links {
            p { a href=(links.wish_path(&owner.public_id, &owner.email)) { (language.say("wish-choose")) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_services_click_is_told_from_a_form() {
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\n\
                         One-Click\r\n--x--\r\n";
        for body in ["List-Unsubscribe=One-Click", multipart] {
            assert!(is_one_click(body.as_bytes()), "{body}");
        }
        for body in ["", "wish=all", "wish=last", "One-Click=List-Unsubscribe", "\u{ff}"] {
            assert!(!is_one_click(body.as_bytes()), "{body}");
        }
    }
}
