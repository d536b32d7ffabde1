//! The rules of the house, as tests: layers, purity, and the length of things.
//!
//! What stands under `#[cfg(test)]` may use what is above it and read the
//! clock, since it does not ship; the rules on length and on sleeping hold there too.

mod samples;
pub(crate) mod source;

use source::{House, Token, paths_from};

/// Each layer, and what it may use beside the vocabulary and itself: the
/// arrows of the picture in `ARCHITECTURE.md`, which go down only.
const LAYERS: &[(&str, &[&str])] = &[
    ("device", &["service", "discovery", "socket"]),
    ("service", &["discovery", "socket"]),
    ("discovery", &[]),
    ("socket", &["routing", "pipe", "session"]),
    ("routing", &[]),
    ("session", &["pipe", "zmtp", "transport"]),
    ("pipe", &["zmtp::frame"]),
    ("zmtp", &[]),
    ("transport", &[]),
    ("testing", &["socket", "transport"]),
    (
        "fuzzing",
        &["service", "socket::envelope", "routing", "zmtp"],
    ),
    ("zeromq", &[]),
];

/// What every layer may use, and what uses no layer.
const VOCABULARY: &[&str] = &[
    "context", "looks", "turns", "message", "endpoint", "options", "error", "sync", "property",
];

/// Files and folders that take the time as an argument and do no IO.
const PURE: &[&str] = &[
    "src/zmtp/",
    "src/routing/",
    "src/service/call",
    "src/service/dispatch",
    "src/service/envelope",
    "src/service/headers",
    "src/service/intake",
    "src/service/outcome",
    "src/service/window",
    "src/service/wire",
    "src/socket/departure",
    "src/device/broker/core",
];

/// What a pure layer never says. A word that ends in `*` stands for all that begin so.
const IMPURE: &[(&[&str], &str)] = &[
    (&["tokio"], "the runtime"),
    (&["async"], "a task"),
    (&["await"], "a task"),
    (&["thread"], "a thread"),
    (&["Instant", "::", "now"], "the clock"),
    (&["elapsed"], "the clock"),
    (&["SystemTime"], "the clock"),
    (&["Mutex"], "a lock"),
    (&["RwLock"], "a lock"),
    (&["Condvar"], "a lock"),
    (&["parking_lot"], "a lock"),
    (&["Atomic*"], "an atomic"),
];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// What breaks a rule and may, each with its reason. One that is not needed fails.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "sleep",
        place: "src/service/ambient.rs::new",
        reason: "the timer of clients, servers and brokers: expiries, heartbeats, the end of a drain",
    },
    Exception {
        rule: "sleep",
        place: "src/session/dial.rs::dial",
        reason: "the wait between two attempts to connect is what it is for",
    },
    Exception {
        rule: "sleep",
        place: "src/session/alarm.rs::set",
        reason: "the timer of the heartbeat, where no thread keeps it",
    },
    Exception {
        rule: "sleep",
        place: "src/session/patience.rs::poll",
        reason: "the time for which the rest of a message may have no place in the budget",
    },
    Exception {
        rule: "sleep",
        place: "src/session/listen.rs::accept_for_ever",
        reason: "the wait after a failed accept, which keeps it from spinning",
    },
    Exception {
        rule: "sleep",
        place: "src/session/stall.rs::new",
        reason: "the timer of a write that does not go on",
    },
    Exception {
        rule: "sleep",
        place: "src/transport/ipc.rs::lock",
        reason: "the system tells nobody that the lock of a folder is free again",
    },
    Exception {
        rule: "sleep",
        place: "src/zeromq.rs::deliver",
        reason: "the crate `zeromq` does not say when a peer has come",
    },
    Exception {
        rule: "sleep",
        place: "benches/compare/src/ends/flow.rs::take_time",
        reason: "a receiver that is slow on purpose",
    },
];

struct Exception {
    rule: &'static str,
    /// A file, or `file::function` where the rule is about functions.
    place: &'static str,
    reason: &'static str,
}

struct Rule {
    name: &'static str,
    check: fn(&House) -> Vec<Finding>,
}

struct Finding {
    place: String,
    line: usize,
    what: String,
}

const RULES: &[Rule] = &[
    LAYERED,
    PURE_LAYERS,
    OPENING,
    FILE_LENGTH,
    FUNCTION_LENGTH,
    SLEEPLESS,
];

const LAYERED: Rule = Rule {
    name: "layers",
    check: uses_that_go_up,
};
const PURE_LAYERS: Rule = Rule {
    name: "purity",
    check: impurities,
};
const OPENING: Rule = Rule {
    name: "opening",
    check: files_that_do_not_say_what_they_are,
};
const FILE_LENGTH: Rule = Rule {
    name: "file length",
    check: long_files,
};
const FUNCTION_LENGTH: Rule = Rule {
    name: "function length",
    check: long_functions,
};
const SLEEPLESS: Rule = Rule {
    name: "sleep",
    check: sleeps,
};

#[test]
fn no_use_goes_up_the_layers() {
    assert_kept(&LAYERED);
}

#[test]
fn the_pure_layers_know_no_runtime_no_clock_and_no_lock() {
    assert_kept(&PURE_LAYERS);
}

#[test]
fn every_pure_layer_is_where_the_table_says() {
    let house = House::read();
    let exists = |pure: &&str| {
        house
            .sources
            .iter()
            .any(|source| source.path.starts_with(*pure))
    };
    assert!(
        PURE.iter().all(exists),
        "the table names what is gone: {PURE:?}"
    );
}

#[test]
fn every_file_says_first_what_it_is() {
    assert_kept(&OPENING);
}

#[test]
fn no_file_is_longer_than_600_lines() {
    assert_kept(&FILE_LENGTH);
}

#[test]
fn no_function_is_longer_than_70_lines() {
    assert_kept(&FUNCTION_LENGTH);
}

#[test]
fn nothing_sleeps_without_a_reason() {
    assert_kept(&SLEEPLESS);
}

#[test]
fn every_exception_is_needed_and_says_why() {
    assert_eq!(idle_exceptions(EXCEPTIONS, House::read()), [""; 0]);
}

#[track_caller]
fn assert_kept(rule: &Rule) {
    let findings = (rule.check)(House::read());
    let is_excepted = |finding: &Finding| {
        EXCEPTIONS
            .iter()
            .any(|exception| exception.rule == rule.name && exception.place == finding.place)
    };
    let list: Vec<_> = findings
        .into_iter()
        .filter(|finding| !is_excepted(finding))
        .map(|Finding { place, line, what }| format!("{place} (line {line}): {what}"))
        .collect();
    assert!(
        list.is_empty(),
        "the rule `{}` is broken:\n{}",
        rule.name,
        list.join("\n")
    );
}

/// Exceptions that nothing needs, that name no rule, or that give no reason.
fn idle_exceptions(exceptions: &[Exception], house: &House) -> Vec<String> {
    let is_needed = |exception: &Exception| {
        let rules = RULES.iter().filter(|rule| rule.name == exception.rule);
        let mut findings = rules.flat_map(|rule| (rule.check)(house));
        findings.any(|finding| finding.place == exception.place)
    };
    let is_idle = |exception: &&Exception| exception.reason.len() < 10 || !is_needed(exception);
    let idle = exceptions.iter().filter(is_idle);
    idle.map(|exception| format!("{}: {}", exception.rule, exception.place))
        .collect()
}

fn uses_that_go_up(house: &House) -> Vec<Finding> {
    let exports = house.exports();
    let mut findings = Vec::new();
    for source in house
        .sources
        .iter()
        .filter(|source| source.path.starts_with("src/"))
    {
        for (module, tokens) in &source.shipped {
            let Some(layer) = module.first() else {
                continue;
            };
            for (line, path) in absolute_paths(module, tokens) {
                if let Err(what) = may_use(layer, &path, &exports) {
                    findings.push(Finding {
                        place: source.path.clone(),
                        line,
                        what,
                    });
                }
            }
        }
    }
    findings
}

/// Every path that begins with `crate`, `self` or `super`, seen from the root, and its line.
fn absolute_paths(module: &[String], tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let continues_a_path = at > 0 && tokens[at - 1].text == "::";
        if continues_a_path || tokens.get(at + 1).is_none_or(|next| next.text != "::") {
            continue;
        }
        let mut base = match tokens[at].text.as_str() {
            "crate" => &[][..],
            "self" => module,
            "super" => &module[..module.len().saturating_sub(1)],
            _ => continue,
        };
        let mut next = at + 2;
        while tokens.get(next).is_some_and(|token| token.text == "super") {
            base = &base[..base.len().saturating_sub(1)];
            next += 2;
        }
        let paths = paths_from(tokens, next, base);
        found.extend(paths.into_iter().map(|path| (tokens[at].line, path)));
    }
    found
}

/// An export of `lib.rs` counts as the module that it comes from.
fn may_use(layer: &str, path: &[String], exports: &[(String, String)]) -> Result<(), String> {
    let written = path.join("::");
    let exported = exports.iter().find(|(name, _)| path.first() == Some(name));
    let first = exported
        .map(|(_, module)| module)
        .or(path.first())
        .map_or("", String::as_str);
    if first == layer || VOCABULARY.contains(&first) {
        return Ok(());
    }
    if !LAYERS.iter().any(|(name, _)| *name == first) {
        return Err(format!("`{written}` is in no layer that this test knows"));
    }
    if VOCABULARY.contains(&layer) {
        return Err(format!("the vocabulary uses `{written}`"));
    }
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return Err(format!("`{layer}` is no layer that this test knows"));
    };
    let is_below = |allowed: &&str| {
        *allowed == first || written == *allowed || written.starts_with(&format!("{allowed}::"))
    };
    if below.iter().any(is_below) {
        return Ok(());
    }
    Err(format!("`{layer}` uses `{written}`, which is not below it"))
}

fn impurities(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        if !PURE.iter().any(|pure| source.path.starts_with(pure)) {
            continue;
        }
        let shipped = source
            .shipped
            .iter()
            .flat_map(|(_, tokens)| (0..tokens.len()).map(move |at| &tokens[at..]));
        for tokens in shipped {
            for (words, what) in IMPURE.iter().filter(|(words, _)| begins(tokens, words)) {
                let what = format!("`{}` is {what}", words.concat());
                findings.push(Finding {
                    place: source.path.clone(),
                    line: tokens[0].line,
                    what,
                });
            }
        }
    }
    findings
}

fn begins(tokens: &[Token], words: &[&str]) -> bool {
    let matches = |(token, word): (&Token, &&str)| match word.strip_suffix('*') {
        Some(start) => token.text.starts_with(start),
        None => token.text == *word,
    };
    tokens.len() >= words.len() && tokens.iter().zip(words).all(matches)
}

fn files_that_do_not_say_what_they_are(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        let opening: Vec<_> = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        let what = if opening.is_empty() {
            "does not open with `//!`"
        } else if source.path.starts_with("src/")
            && source.path.ends_with("/mod.rs")
            && !opening.concat().to_lowercase().contains("never")
        {
            "does not say what the layer never does"
        } else {
            continue;
        };
        findings.push(Finding {
            place: source.path.clone(),
            line: 1,
            what: what.into(),
        });
    }
    findings
}

fn long_files(house: &House) -> Vec<Finding> {
    let lengths = house
        .sources
        .iter()
        .map(|source| (source, source.text.lines().count()));
    lengths
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(source, lines)| Finding {
            place: source.path.clone(),
            line: lines,
            what: format!("{lines} lines"),
        })
        .collect()
}

fn long_functions(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        for (at, name) in functions(&source.tokens) {
            let line = source.tokens[at].line;
            let lines = last_line(&source.tokens[at..]) + 1 - line;
            if lines > FUNCTION_LINES {
                let place = format!("{}::{name}", source.path);
                findings.push(Finding {
                    place,
                    line,
                    what: format!("{lines} lines"),
                });
            }
        }
    }
    findings
}

/// The places of all `fn name`, those that a macro writes included.
fn functions(tokens: &[Token]) -> impl Iterator<Item = (usize, &str)> {
    let pairs = tokens.windows(2).enumerate();
    let named = pairs.filter(|(_, pair)| pair[0].text == "fn" && pair[1].text != "(");
    named.map(|(at, pair)| (at, pair[1].text.as_str()))
}

/// The line on which a function ends: where its braces are closed, or at the `;` of one without.
fn last_line(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for token in tokens {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return token.line,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return token.line,
            _ => {}
        }
    }
    tokens[0].line
}

fn sleeps(house: &House) -> Vec<Finding> {
    const CALLS: &[&[&str]] = &[&["sleep", "("], &["sleep_until", "("], &["sleep_ms", "("]];
    let mut findings = Vec::new();
    for source in &house.sources {
        if source.path.starts_with("examples/") {
            continue;
        }
        let functions: Vec<_> = functions(&source.tokens).collect();
        for at in 0..source.tokens.len() {
            if !CALLS.iter().any(|call| begins(&source.tokens[at..], call)) {
                continue;
            }
            let function = functions.iter().rev().find(|(start, _)| *start < at);
            let function = function.map_or("", |(_, name)| *name);
            findings.push(Finding {
                place: format!("{}::{function}", source.path),
                line: source.tokens[at].line,
                what: "sleeps: wait for an event, or list it with its reason".into(),
            });
        }
    }
    findings
}
