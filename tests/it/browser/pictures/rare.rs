//! Pictures of the pages that few come by.

use super::{take, take_from};
use crate::browser::{
    Browser, at_site,
    rare::{administrators, flood, owner},
};

const FOLDER: &str = "docs/pictures";

#[tokio::test]
#[ignore = "writes docs/pictures"]
async fn pictures_of_what_few_owners_come_by() {
    at_site(|site| async move {
        let browser = Browser::open().await;
        browser.look(720, "light").await;
        let shown = async |name: &str| match name {
            "wrong-name" => take(&browser, FOLDER, name, 900).await,
            _ => take(&browser, FOLDER, name, 1_200).await,
        };
        owner(site, &browser, shown).await;
        flood(&browser, shown).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "writes docs/pictures"]
async fn pictures_of_what_takes_two_or_a_code() {
    at_site(|site| async move {
        let browser = Browser::open().await;
        browser.look(1000, "light").await;
        let shown = async |name: &str| match name {
            "code" => take_from(&browser, "section.danger", FOLDER, name, 700).await,
            _ => take(&browser, FOLDER, name, 1_000).await,
        };
        administrators(site, &browser, shown).await;
    })
    .await;
}
