//! A real browser, asked by WebDriver (<https://www.w3.org/TR/webdriver2/>): Debian's chromium and
//! its driver, and the least client there is.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
};

use crate::support::daemon::until;

/// axe-core 4.14.1 (MPL-2.0), as it is published.
const AXE: &str = include_str!("axe.min.js");
/// What stands for an element in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A key of the keyboard, as WebDriver writes it.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const SPACE: &str = "\u{e00d}";

/// A browser with one window and nothing remembered. It ends when this is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    pub async fn open() -> Self {
        Self::with(json!({})).await
    }

    /// The browser of somebody who reads German.
    pub async fn german() -> Self {
        Self::with(json!({ "intl.accept_languages": "de" })).await
    }

    /// A browser that runs no script of a page.
    pub async fn without_scripts() -> Self {
        Self::with(json!({ "profile.managed_default_content_settings.javascript": 2 })).await
    }

    async fn with(prefs: Value) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there: .ci/test installs it");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        // What it says later is read by nobody, and must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("chromedriver listens")));
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
            // A picture of a whole page has none, and would be laid out anew.
            "--hide-scrollbars",
            "--lang=en",
        ];
        let options = json!({ "args": args, "prefs": prefs, "binary": "/usr/bin/chromium" });
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options,
            "timeouts": { "implicit": 10_000 },
            "goog:loggingPrefs": { "browser": "SEVERE" } });
        let mut browser = Self { driver, address, session: String::new() };
        let begun = browser
            .ask("POST", "/session", json!({ "capabilities": { "alwaysMatch": wanted } }))
            .await
            .expect("a browser opens");
        browser.session = format!("/session/{}", begun["sessionId"].as_str().unwrap());
        browser
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value, Value> {
        let path = format!("{}{path}", self.session);
        let body = if method == "GET" { String::new() } else { body.to_string() };
        // The driver keeps connections, whatever it is told: its answer ends where it says so.
        let mut stream = BufStream::new(TcpStream::connect(self.address).await.unwrap());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let (mut is_well, mut length, mut line) = (false, 0, String::new());
        loop {
            line.clear();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the driver hung up");
            let text = line.trim_end().to_ascii_lowercase();
            is_well |= text.starts_with("http/1.1 200");
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        let value = answer["value"].take();
        if is_well { Ok(value) } else { Err(value) }
    }

    pub async fn go(&self, url: &str) {
        self.ask("POST", "/url", json!({ "url": url })).await.unwrap();
    }

    pub async fn path(&self) -> String {
        let url = self.ask("GET", "/url", json!({})).await.unwrap();
        let url = url.as_str().unwrap();
        url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default()
    }

    /// The page as it is, as HTML.
    pub async fn page(&self) -> String {
        self.ask("GET", "/source", json!({})).await.unwrap().as_str().unwrap().to_owned()
    }

    /// Looks until the page says `text`: without scripts, no driver waits for the next page.
    pub async fn shows(&self, text: &str) {
        until(text, async || self.page().await.contains(text).then_some(())).await;
    }

    /// Looks until the browser is at `path`.
    pub async fn is_at(&self, path: &str) {
        until(path, async || (self.path().await == path).then_some(())).await;
    }

    /// Looks until the element is there: the page may be on its way.
    async fn find(&self, css: &str) -> String {
        until(css, async || {
            let asked = json!({ "using": "css selector", "value": css });
            let element = self.ask("POST", "/element", asked).await.ok()?;
            Some(element[ELEMENT].as_str()?.to_owned())
        })
        .await
    }

    /// Clicks on the element, as somebody with a mouse.
    pub async fn click(&self, css: &str) {
        let element = self.find(css).await;
        let clicked = self.ask("POST", &format!("/element/{element}/click"), json!({})).await;
        clicked.unwrap();
    }

    /// Types into the element.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        let path = format!("/element/{element}/value");
        self.ask("POST", &path, json!({ "text": text })).await.unwrap();
    }

    /// What a field has in it.
    pub async fn value(&self, css: &str) -> String {
        let path = format!("/element/{}/property/value", self.find(css).await);
        self.ask("GET", &path, json!({})).await.unwrap().as_str().unwrap().to_owned()
    }

    pub async fn text(&self, css: &str) -> String {
        let path = format!("/element/{}/text", self.find(css).await);
        self.ask("GET", &path, json!({})).await.unwrap().as_str().unwrap().to_owned()
    }

    /// Presses keys one after the other, wherever the focus is.
    pub async fn press(&self, keys: &[&str]) {
        let stroke = |key: &&str| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let actions: Vec<Value> = keys.iter().flat_map(stroke).collect();
        let keyboard = json!([{ "type": "key", "id": "keyboard", "actions": actions }]);
        self.ask("POST", "/actions", json!({ "actions": keyboard })).await.unwrap();
    }

    /// Presses Tab until the focus is on an element that `css` matches.
    pub async fn tab_to(&self, css: &str) {
        for _ in 0..60 {
            self.press(&[TAB]).await;
            let matches = "return document.activeElement.matches(arguments[0])";
            if self.script(matches, json!([css])).await == Value::Bool(true) {
                return;
            }
        }
        panic!("`{css}` cannot be reached by keyboard: {}", self.page().await);
    }

    pub async fn script(&self, script: &str, args: Value) -> Value {
        let asked = json!({ "script": script, "args": args });
        self.ask("POST", "/execute/sync", asked).await.unwrap()
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        let asked = json!({ "cmd": command, "params": params });
        self.ask("POST", "/goog/cdp/execute", asked).await.unwrap()
    }

    /// Sees that the page is for everybody: nothing that axe-core finds, in light and in dark, wide
    /// and as narrow as a telephone, where nothing sticks out to the side.
    pub async fn is_accessible(&self) {
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
            self.look(width, scheme).await;
            let out = "return document.documentElement.scrollWidth - innerWidth";
            let out = self.script(out, json!([])).await.as_i64().unwrap();
            assert!(out <= 0, "{out} pixels stick out of {} at {width}", self.path().await);
            self.script(AXE, json!([])).await;
            let run = "const done = arguments[0]; axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', \
                'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(found => done( \
                found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target).join(' ; '))))";
            let asked = json!({ "script": run, "args": [] });
            let found = self.ask("POST", "/execute/async", asked).await.unwrap();
            assert_eq!(found, json!([]), "{} at {width}, {scheme}", self.path().await);
        }
    }

    /// Makes the window so wide, and has its user like it `light` or `dark`.
    pub async fn look(&self, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": scheme })).await;
    }

    /// The page from the element `css` on as a PNG picture, at most so high.
    pub async fn picture(&self, css: &str, most: i64) -> Vec<u8> {
        let top = "return Math.max(0, Math.floor(document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY) - 16)";
        let top = self.script(top, json!([css])).await.as_i64().unwrap();
        let size = "return [innerWidth, Math.ceil(document.documentElement.getBoundingClientRect().height)]";
        let size = self.script(size, json!([])).await;
        let height = (size[1].as_i64().unwrap() - top).min(most);
        let clip = json!({ "x": 0, "y": top, "width": size[0], "height": height, "scale": 1 });
        let asked = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer = self.devtools("Page.captureScreenshot", asked).await;
        BASE64.decode(answer["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    /// What the browser has complained about, such as a policy that a page does not keep to. An
    /// answer that refuses something is no complaint.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", json!({ "type": "browser" })).await.unwrap();
        let says = log.as_array().unwrap().iter().map(|line| line["message"].to_string());
        says.filter(|line| !line.contains("Failed to load resource")).collect()
    }
}

impl Browser {
    fn end_session(&self) -> std::io::Result<()> {
        let mut tcp = std::net::TcpStream::connect(self.address)?;
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        write!(tcp, "DELETE {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.session, self.address)?;
        // The answer comes when the browser has ended.
        tcp.read(&mut [0; 64]).map(drop)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when the session ends, and leaves it behind when it is ended
        // itself. What does not work here is no reason to fail a test.
        let _ = self.end_session();
        let pid = self.driver.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let _ = self.driver.wait();
    }
}
