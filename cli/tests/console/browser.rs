//! A headless Chromium, driven as the WebDriver recommendation of the W3C says, over chromedriver's HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use std::time::{Duration, Instant};

use super::support::group::Group;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

/// A browser with one page. Dropping it ends every process of it.
pub(crate) struct Browser {
    driver: Option<Group>,
    profile: TempDir,
    port: u16,
    session: String,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let (driver, stdout) = Group::start("chromedriver", &["--port=0"]);
        let mut lines = BufReader::new(stdout).lines();
        let port = loop {
            let line = lines.next().expect(
                "chromedriver is missing or does not start: run `make install` (package chromium-driver)",
            );
            let line = line.unwrap();
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        let mut this = Self {
            driver: Some(driver),
            profile: tempfile::tempdir().unwrap(),
            port,
            session: String::new(),
        };
        let profile = format!("--user-data-dir={}", this.profile.path().display());
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000",
                &profile, "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            ]},
        }}});
        let session = this.call("POST", "/session", &capabilities);
        session["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut this.session);
        this
    }

    /// Ends the browser as a user does, and returns what it remembers of where it was.
    pub(crate) fn history(mut self) -> Vec<u8> {
        self.call(
            "DELETE",
            &format!("/session/{}", self.session),
            &Value::Null,
        );
        drop(self.driver.take());
        std::fs::read(self.profile.path().join("Default/History")).unwrap()
    }

    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "url", &json!({"url": url}));
    }

    /// Makes the page as large as a device's screen.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.command("POST", "goog/cdp/execute", &command);
    }

    /// Runs a function's body in the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command(
            "POST",
            "execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    /// Runs it until it returns something true.
    pub(crate) fn until(&self, script: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.run(script);
            if found.as_bool() != Some(false) && !found.is_null() {
                return found;
            }
            let page = "return document.body.innerText";
            assert!(
                Instant::now() < deadline,
                "never: {script}\n{}",
                self.run(page)
            );
        }
    }

    pub(crate) fn click(&self, selector: &str) {
        let by = json!({"using": "css selector", "value": selector});
        let element = self.command("POST", "element", &by);
        let id = element
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        self.command("POST", &format!("element/{id}/click"), &json!({}));
    }

    /// Errors in the page's log.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = self.command("POST", "se/log", &json!({"type": "browser"}));
        let severe = log
            .as_array()
            .unwrap()
            .iter()
            .filter(|l| l["level"] == "SEVERE");
        severe
            .map(|l| l["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// A picture of the page, PNG in base64.
    pub(crate) fn screenshot(&self) -> String {
        let picture = self.command("GET", "screenshot", &Value::Null);
        picture.as_str().unwrap().to_owned()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.call(method, &format!("/session/{}/{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut tcp = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            tcp,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        // chromedriver does not close the connection: the length says where the answer ends.
        let mut answer = BufReader::new(tcp);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head += &line;
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(
            head.starts_with("http/1.1 200"),
            "{method} {path}: {head} {body}"
        );
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        answer["value"].take()
    }
}
