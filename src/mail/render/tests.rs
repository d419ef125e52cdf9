use super::*;
use crate::mail::{digest::Topic, preview};

fn now() -> DateTime<Utc> {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

#[test]
fn dump() {
    let t = Templates::new(&TemplateSettings {
        public_url: Some("https://keys.example.org/".into()),
        ..Default::default()
    })
    .unwrap();
    let dir = std::path::Path::new("/tmp/letters");
    std::fs::create_dir_all(dir).unwrap();
    let mut put = |name: String, d: &Digest| {
        let l = t.render(d, now()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        std::fs::write(
            dir.join(format!("{name}.txt")),
            format!("Subject: {}\n\n{}", l.subject, l.text),
        )
        .unwrap();
        std::fs::write(dir.join(format!("{name}.html")), &l.html).unwrap();
    };
    for topic in Topic::ALL {
        for n in [1, 3, 60] {
            put(format!("{topic}-{n}"), &preview::sample(topic, n, now()));
            put(
                format!("{topic}-{n}-contacts"),
                &preview::without_pages(preview::for_contacts(preview::sample(topic, n, now()))),
            );
        }
    }
    put("mixed".into(), &preview::mixed(now()));
}
