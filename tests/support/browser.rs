//! A browser that a test drives as a person would: Chromium without a screen, by the words that a page shows.
//!
//! The protocol is `WebDriver`'s, some JSON over HTTP to `chromedriver`, spoken here in a page of code; a library for it would bring
//! twenty crates, most of them older ones of what we have. The driver of a test binary is shared and ends with the last of its
//! browsers; should the test's process be killed, its standard input ends and takes the driver along, whose pipe takes Chromium.
//!
//! What is waited for is what a page shows, or its address; never a time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::until;

/// Longest that a page may take to show something: beside other tests on a busy machine.
const SOON: Duration = Duration::from_secs(90);
/// Longest answer of the driver: a screenshot of a long page, an audit of one.
const ANSWER: Duration = Duration::from_mins(1);
/// How `WebDriver` calls an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Runs the driver as long as somebody holds the other end of its input.
const KEEP: &str = r#"exec 3<&0
chromedriver --port=0 </dev/null &
driver=$!
cat <&3 >/dev/null
kill "$driver""#;

/// In every script: what is seen of a page, its words with single spaces, and whoever has them.
const EYES: &str = r"
    const words = (node) => (node.innerText ?? node.textContent ?? '').replace(/\s+/g, ' ').trim();
    const seen = (node) => node.checkVisibility({ visibilityProperty: true });
    const named = (node, name) => words(node) === name || node.getAttribute('aria-label') === name;
    const pressed = 'a[href], button, summary, input[type=checkbox]';
    const wanted = (where, name) => {
        const all = [...where.querySelectorAll(pressed)].filter(seen);
        const signless = (node) => words(node).replace(/^\W+ /, '');
        return all.find((node) => named(node, name)) ?? all.find((node) => signless(node).startsWith(name));
    };
";

static DRIVER: Mutex<Weak<Driver>> = Mutex::const_new(Weak::new());

struct Driver {
    child: Child,
    address: String,
}

impl Driver {
    async fn shared() -> Arc<Self> {
        let mut shared = DRIVER.lock().await;
        if let Some(driver) = shared.upgrade() {
            return driver;
        }
        let start = tokio::task::spawn_blocking(Self::start);
        let driver = Arc::new(start.await.expect("the driver starts"));
        *shared = Arc::downgrade(&driver);
        driver
    }

    fn start() -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", KEEP]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = shell.spawn().expect("a shell");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = port.expect("chromedriver runs: `make test-tools` installs it");
        // Read on, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: format!("127.0.0.1:{port}") }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // its shell ends the driver
        let _ = self.child.wait();
    }
}

/// What of a page runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scripts {
    /// Its scripts.
    Run,
    /// None: as in a browser where a person has turned them off.
    Off,
}

/// A browser with nothing in it. It is closed when it is dropped, also by a test that fails.
pub(crate) struct Browser {
    driver: Arc<Driver>,
    http: reqwest::Client,
    session: String,
    /// Where its relative addresses begin: `http://host:port`.
    origin: String,
    _profile: TempDir,
}

impl Browser {
    /// Opens one; `server` is a host and port.
    pub(crate) async fn open(server: &str, scripts: Scripts) -> Self {
        let driver = Driver::shared().await;
        let profile = tempfile::tempdir().expect("a temporary folder");
        // As root there is no sandbox; the pipe ends Chromium with its driver.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--force-device-scale-factor=1",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let blocked = if scripts == Scripts::Off { 2 } else { 1 };
        let wish = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "unhandledPromptBehavior": "ignore", // an alert would fail whatever comes next
            "timeouts": { "script": 60_000, "pageLoad": 60_000 },
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": { "profile.managed_default_content_settings.javascript": blocked },
            },
        } } });
        let http = reqwest::Client::builder().timeout(ANSWER).build().expect("a client");
        let mut browser = Self {
            driver,
            http,
            session: String::new(),
            origin: format!("http://{server}"),
            _profile: profile,
        };
        let made = browser.ask("POST", "/session", &wish).await.expect("a browser");
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        browser.screen(1280, 900).await;
        browser.devtools("Emulation.setLocaleOverride", json!({ "locale": "en-GB" })).await;
        // Several are looked at at a time: each believes that it is the one in front.
        browser.devtools("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await;
        browser
    }

    /// Asks the driver; what it says of an error as text.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("http://{}{path}", self.driver.address);
        let method = method.parse().expect("a method");
        let request = self.http.request(method, url).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.map_err(|error| error.to_string());
        let text = answer?.text().await.map_err(|error| error.to_string())?;
        let mut said: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let value = said["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or(""))),
            None => Ok(value),
        }
    }

    async fn tell(&self, what: &str, body: Value) -> Result<Value, String> {
        self.ask("POST", &format!("/session/{}/{what}", self.session), &body).await
    }

    /// Goes to a path of the server, or to a whole address.
    pub(crate) async fn goto(&self, place: &str) {
        let begins = if place.starts_with('/') { &self.origin } else { "" };
        let gone = self.tell("url", json!({ "url": format!("{begins}{place}") })).await;
        gone.unwrap_or_else(|error| panic!("{place}: {error}"));
    }

    /// The path that it shows, with what is behind a question mark.
    pub(crate) async fn place(&self) -> String {
        let place = self.script("return location.pathname + location.search", &[]).await;
        place.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script of the test in the page, also where the page's own do not run; what it returned.
    pub(crate) async fn script(&self, script: &str, arguments: &[Value]) -> Value {
        self.try_script(script, arguments).await.unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    async fn try_script(&self, script: &str, arguments: &[Value]) -> Result<Value, String> {
        self.tell("execute/sync", json!({ "script": script, "args": arguments })).await
    }

    /// Runs a script that calls its last argument when it is done.
    pub(crate) async fn script_until_done(&self, script: &str, arguments: &[Value]) -> Value {
        let done = self.tell("execute/async", json!({ "script": script, "args": arguments })).await;
        done.unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    /// Speaks Chromium's own protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let told = json!({ "cmd": command, "params": parameters });
        self.tell("goog/cdp/execute", told).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A screen of this size, in CSS pixels.
    pub(crate) async fn screen(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the person likes: `light` or `dark`.
    pub(crate) async fn likes(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" }, // nothing is looked at half-way
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What the page shows, with single spaces.
    pub(crate) async fn text(&self) -> String {
        let script = format!("{EYES} return document.body ? words(document.body) : ''");
        let text = self.try_script(&script, &[]).await.unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows these words.
    pub(crate) async fn sees(&self, words: &str) {
        self.comes_to(&format!("the page shows {words:?}"), async || {
            self.text().await.contains(words)
        })
        .await;
    }

    /// Waits until the page shows one of these; which.
    pub(crate) async fn sees_one<'a>(&self, choice: &[&'a str]) -> &'a str {
        let mut found = None;
        self.comes_to(&format!("the page shows one of {choice:?}"), async || {
            let text = self.text().await;
            found = choice.iter().copied().find(|words| text.contains(words));
            found.is_some()
        })
        .await;
        found.expect("found")
    }

    /// Loads the page again until it shows these words: what a person without scripts does.
    pub(crate) async fn reloads_until(&self, words: &str) {
        let place = self.place().await;
        self.comes_to(&format!("{place} shows {words:?}, loaded again"), async || {
            if self.text().await.contains(words) {
                return true;
            }
            self.goto(&place).await;
            false
        })
        .await;
    }

    /// Waits for something about the page.
    pub(crate) async fn comes_to(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(SOON, async {
            until(what, SOON * 2, async || is_so().await).await;
        });
        if waited.await.is_err() {
            let text = self.text().await.chars().take(3_000).collect::<String>();
            panic!("not within {SOON:?}: {what}\n{}\n{text}", self.place().await);
        }
    }

    /// Presses the link, the button or the heading of a fold with this word, or whose words begin with it.
    pub(crate) async fn press(&self, name: &str) {
        self.press_in("body", name).await;
    }

    /// The same within what a selector finds.
    pub(crate) async fn press_in(&self, scope: &str, name: &str) {
        let script = format!(
            "{EYES} for (const where of document.querySelectorAll(arguments[0])) \
             {{ const found = wanted(where, arguments[1]); if (found) return found; }}"
        );
        let what = format!("{name:?} can be pressed");
        self.find_and_click(&what, &script, &[json!(scope), json!(name)]).await;
    }

    /// Presses what leads to another page, or to the same one anew, and waits until that is there.
    pub(crate) async fn press_and_go(&self, name: &str) {
        self.script("window.isOld = true", &[]).await;
        self.press(name).await;
        self.comes_to(&format!("another page comes behind {name:?}"), async || {
            let come = "return !window.isOld && document.readyState === 'complete'";
            self.try_script(come, &[]).await == Ok(json!(true))
        })
        .await;
    }

    /// The same within the row of a table, or the item of a list, that shows these words.
    pub(crate) async fn press_beside(&self, row: &str, name: &str) {
        let script = format!(
            "{EYES} for (const where of document.querySelectorAll('main tr, main li, main .card, main section')) {{ \
             if (!words(where).includes(arguments[0])) continue; \
             const found = wanted(where, arguments[1]); if (found) return found; }}"
        );
        let what = format!("{name:?} beside {row:?} can be pressed");
        self.find_and_click(&what, &script, &[json!(row), json!(name)]).await;
    }

    /// Whether something with this word can be pressed.
    pub(crate) async fn offers(&self, name: &str) -> bool {
        let script = format!("{EYES} return Boolean(wanted(document.body, arguments[0]))");
        self.script(&script, &[json!(name)]).await == json!(true)
    }

    /// Writes into the field with this label, instead of what is there; of a choice, takes the one that reads so; a box
    /// or a dot it ticks.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let script = format!(
            "{EYES} const label = [...document.querySelectorAll('main label')].filter(seen).find((one) => \
             words(one) === arguments[0] || words(one).startsWith(arguments[0])); \
             const fields = [...document.querySelectorAll('main input, main textarea, main select')]; \
             return label?.control ?? fields.find((one) => one.getAttribute('aria-label') === arguments[0]) ?? null"
        );
        let field =
            self.find(&format!("there is a field {label:?}"), &script, &[json!(label)]).await;
        let kind = self.script("return arguments[0].type", &[json!({ ELEMENT: field })]).await;
        match kind.as_str().unwrap_or_default() {
            "checkbox" | "radio" => self.click(&field).await,
            "select-one" => {
                let script = format!(
                    "{EYES} return [...arguments[0].options].find((one) => words(one).startsWith(arguments[1]) \
                     || one.textContent.trim().startsWith(arguments[1]))"
                );
                let arguments = [json!({ ELEMENT: field }), json!(text)];
                let option =
                    self.find(&format!("{label:?} has {text:?}"), &script, &arguments).await;
                self.click(&option).await;
            }
            _ => {
                let clear = format!("element/{field}/clear");
                self.tell(&clear, json!({}))
                    .await
                    .unwrap_or_else(|error| panic!("{label}: {error}"));
                let value = format!("element/{field}/value");
                let typed = self.tell(&value, json!({ "text": text })).await;
                typed.unwrap_or_else(|error| panic!("{label}: {error}"));
            }
        }
    }

    /// Types keys, wherever the page has its eye.
    pub(crate) async fn keys(&self, keys: &str) {
        let mut moves = Vec::new();
        for key in keys.chars() {
            moves.push(json!({ "type": "keyDown", "value": key }));
            moves.push(json!({ "type": "keyUp", "value": key }));
        }
        let hands = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": moves }] });
        self.tell("actions", hands).await.unwrap_or_else(|error| panic!("{keys}: {error}"));
    }

    async fn find(&self, what: &str, script: &str, arguments: &[Value]) -> String {
        let mut found = None;
        self.comes_to(what, async || {
            let element = self.try_script(script, arguments).await;
            // While a page goes, there is none to look at; a script of ours that is wrong stays so.
            assert!(
                !element.as_ref().is_err_and(|error| error.contains("SyntaxError")),
                "{element:?}"
            );
            let element = element.unwrap_or_default();
            found = element[ELEMENT].as_str().map(str::to_owned);
            found.is_some()
        })
        .await;
        found.expect("found")
    }

    async fn click(&self, element: &str) {
        self.try_click(element).await.unwrap_or_else(|error| panic!("a click: {error}"));
    }

    async fn try_click(&self, element: &str) -> Result<Value, String> {
        self.tell(&format!("element/{element}/click"), json!({})).await
    }

    /// Clicks on what a script finds. What the page has put another in the place of meanwhile was not clicked on: the
    /// other is.
    async fn find_and_click(&self, what: &str, script: &str, arguments: &[Value]) {
        loop {
            let found = self.find(what, script, arguments).await;
            let clicked = self.try_click(&found).await;
            let is_gone = clicked.as_ref().is_err_and(|error| error.starts_with("stale element"));
            assert!(is_gone || clicked.is_ok(), "a click: {clicked:?}");
            if !is_gone {
                return;
            }
        }
    }

    /// What the browser complained of since it was last asked.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.tell("se/log", json!({ "type": "browser" })).await.expect("its log");
        let lines = log.as_array().cloned().unwrap_or_default();
        let said = lines.iter().filter_map(|line| line["message"].as_str().map(str::to_owned));
        // Advice for logins. A form with two secrets of somebody else's, a receiver's and a key, is none.
        said.filter(|line| !line.contains("Multiple forms should be contained")).collect()
    }

    /// A picture of the page: `png` or `webp`, of all of it, or of what the screen has.
    pub(crate) async fn picture(&self, format: &str, whole: bool) -> Vec<u8> {
        use base64::Engine as _;
        let mut wish = json!({ "format": format, "captureBeyondViewport": whole });
        if format == "webp" {
            wish["quality"] = json!(60); // a page of text stays sharp, and under 60 kB
        }
        let taken = self.devtools("Page.captureScreenshot", wish).await;
        let text = taken["data"].as_str().expect("a picture").to_owned();
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }
}

impl Drop for Browser {
    /// Closes it, without a runtime: a test that failed has none to wait with.
    fn drop(&mut self) {
        let Ok(mut stream) = std::net::TcpStream::connect(&self.driver.address) else { return };
        let _ = stream.set_read_timeout(Some(SOON));
        let request = format!(
            "DELETE /session/{} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.session, self.driver.address
        );
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read(&mut [0; 512]); // when it answers, Chromium has ended
    }
}
