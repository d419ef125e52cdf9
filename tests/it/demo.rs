//! The demonstration tells the same story each time.

use lapsed::demo::Demo;

#[tokio::test]
async fn forty_five_days_of_a_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = String::new();
    let demo = Demo { folder: folder.path(), n_days: 45 };
    let summary = demo
        .run(|event| story += &format!("{}  {event}\n", event.at().format("%a %d %b %H:%M")))
        .await
        .unwrap();
    story += &format!("{summary:?}\n");
    insta::assert_snapshot!(story);
    let mails = std::fs::read_dir(folder.path().join("mail")).unwrap().count();
    assert_eq!(mails as u64, summary.n_mails, "each mail lies there to be read");
}
