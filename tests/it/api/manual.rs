//! The examples of docs/api.md, carried out as they stand there.

use axum::http::Method;
use lapsed::{domain::identity::Role, store::admin_tokens::Holder};
use serde_json::{Value, json};

use crate::{
    api::{Face, new_key, text},
    on_each_engine,
};

/// An example: what `curl` would send.
#[derive(Debug, Default)]
struct Example {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

fn examples() -> Vec<Example> {
    let manual = include_str!("../../../docs/api.md").replace("\\\n", " ");
    let lines = manual.lines().filter(|line| line.starts_with("curl "));
    lines.map(read).collect()
}

/// Reads a line as a shell would, as far as the examples go.
fn read(line: &str) -> Example {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, left) = match first {
            quote @ ('\'' | '"') => rest[1..].split_once(quote).unwrap(),
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = left.trim_start();
    }
    let mut example = Example { method: Method::GET.to_string(), ..Example::default() };
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => example.method = words.next().unwrap(),
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                example.headers.push((name.to_lowercase(), value.to_owned()));
            }
            "-d" => example.body = Some(serde_json::from_str(&words.next().unwrap()).unwrap()),
            "-i" => {}
            url => example.path = url.strip_prefix("http://127.0.0.1:8470").unwrap().to_owned(),
        }
    }
    example
}

/// A token of a second administrator, and two requests that wait for them: about keys of somebody
/// whom no other example is about.
async fn two_people(face: &Face<'_>) -> (String, [String; 2]) {
    let asks = face.token_of(Holder::Mail("grace@acme.example"), Role::Admin, None).await.1;
    let other = face.token_of(Holder::Mail("heidi@acme.example"), Role::Admin, None).await.1;
    face.root("POST", "/v1/owners", json!({ "tenant": "acme", "email": "bob@acme.example" })).await;
    let mut requests = [String::new(), String::new()];
    for request in &mut requests {
        let mut new = new_key();
        new["owner"] = json!("bob@acme.example");
        let key = text(&face.root("POST", "/v1/keys", new).await["id"]);
        let rule = json!({ "set": { "two_person": true } });
        face.root("PATCH", &format!("/v1/keys/{key}/policy"), rule).await;
        let revoke = format!("/v1/keys/{key}/revoke");
        let asked = face.call(&asks, "POST", &revoke, json!({})).await;
        *request = text(&asked.json()["id"]);
    }
    (other, requests)
}

on_each_engine! {
    async fn every_example_of_the_manual_does_what_it_says(app: TestApp) {
        let face = Face::new(&app).await;
        face.policy(serde_json::json!({ "self_rotate": true })).await;
        let (id, _) = face.key().await;
        let (_, own) = face.key().await;
        let ada = face.ada().await;
        let mut people = None;
        let examples = examples();
        assert!(examples.len() >= 11, "{}", examples.len());
        for example in examples {
            let Example { method, path, headers, body } = &example;
            let path = path.replace("$ID", &id).replace("$OWNER", &ada);
            if path.contains("$APPROVAL") && people.is_none() {
                people = Some(two_people(&face).await);
            }
            let (other, requests) = people.clone().unwrap_or_default();
            let path = path.replace("$APPROVAL", &requests[usize::from(path.contains("reject"))]);
            let fill = |(name, value): &(String, String)| {
                let value = value.replace("$TOKEN", &face.root).replace("$KEY", &own);
                let value = value.replace("$OTHER", &other);
                (name.clone(), value.replace("lpu_live_…", &own))
            };
            // A live key of an owner without a second factor needs no code.
            let headers: Vec<_> = headers.iter().filter(|(name, _)| name != "x-otp").map(fill).collect();
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let reply = face.send(method, &path, &headers, body.as_ref()).await;
            assert!(reply.status < 300, "{example:?}: {reply:?}");
            if path == "/v1/keys/verify" {
                assert_eq!(text(&reply.json()["code"]), "invalid", "the example's key is nobody's");
            }
        }
    }
}

/// Every word of a problem that the code knows stands in the manual, and no other.
#[test]
fn the_manual_names_every_problem() {
    let manual = include_str!("../../../docs/api.md");
    let mut words = std::collections::BTreeSet::new();
    for file in [
        include_str!("../../../src/http/v1/refusal.rs"),
        include_str!("../../../src/http/v1/auth.rs"),
        include_str!("../../../src/http/v1/api.rs"),
        include_str!("../../../src/http/v1/own.rs"),
        include_str!("../../../src/http/v1/jobs.rs"),
        include_str!("../../../src/http/v1/mod.rs"),
    ] {
        let is_word = |word: &&str| {
            word.contains(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        };
        for (at, _) in file.match_indices(".code(\"") {
            words.extend(file[at + 7..].split('"').next().filter(is_word));
        }
        for line in
            file.lines().filter(|line| line.contains("StatusCode::") && !line.contains("new("))
        {
            words.extend(line.split('"').nth(1).filter(is_word));
        }
    }
    assert!(words.len() > 20, "{words:?}");
    for word in words {
        assert!(manual.contains(&format!("`{word}`")), "docs/api.md does not name `{word}`");
    }
}
