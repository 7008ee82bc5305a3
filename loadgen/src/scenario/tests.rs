use super::*;

fn parse(line: &str) -> Result<Cli, String> {
    let words = ["loadgen"].into_iter().chain(line.split_ascii_whitespace());
    let line: Vec<OsString> = words.map(OsString::from).collect();
    try_parse(&line).map_err(|refusal| refusal.to_string())
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("own.toml");
    fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("plain letters").to_owned();
    (folder, path)
}

fn complaint(text: &str) -> String {
    let (_folder, path) = file(text);
    parse(&format!("--scenario {path}")).expect_err("a bad scenario")
}

#[test]
fn every_shipped_one_is_a_run() {
    for (name, _) in SHIPPED {
        let cli = parse(&format!("--scenario {name}")).expect(name);
        cli.options.load.plan().expect(name);
        let line = overview()
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .map(str::to_owned)
            .expect(name);
        assert!((20..=80).contains(&line.len()), "{line}");
    }
}

#[test]
fn the_command_line_wins_wherever_it_stands() {
    let (_folder, path) = file("clients = 7\nrate = 2.5\nduration = \"3s\"");
    for line in [
        format!("--clients 9 --scenario {path}"),
        format!("--scenario {path} --clients 9"),
    ] {
        let plan = parse(&line).expect("a scenario").options.load.plan();
        let plan = plan.expect("a run");
        assert_eq!((plan.clients, plan.rate), (9, 2.5));
        assert_eq!(plan.duration.as_secs(), 3);
    }
}

#[test]
fn switches_are_true_or_false() {
    let (_folder, path) = file("idle = true\njson = false");
    let options = parse(&format!("--scenario {path}")).expect("one").options;
    assert!(options.load.idle);
    assert!(!options.output.json);
    assert!(complaint("idle = 1").contains("line 1: idle should be true or false"));
    assert!(complaint("idle = \"yes\"").contains("true or false"));
}

#[test]
fn the_place_of_a_mistake_is_named() {
    let said = complaint("clients = 1\n\nchanels = 2");
    assert!(
        said.contains("own.toml, line 3: chanels is no option"),
        "{said}"
    );
    for key in ["scenario = \"chat\"", "help = true", "version = true"] {
        assert!(complaint(key).contains("is no option"), "{key}");
    }
    let said = complaint("rate = { a = 1 }");
    assert!(said.contains("rate should be a number or a text"), "{said}");
    let said = complaint("clients = ");
    assert!(said.contains("line 1"), "{said}");
    let said = complaint("description = 5");
    assert!(said.contains("description should be a text"), "{said}");
}

#[test]
fn values_are_refused_as_on_the_command_line() {
    let said = complaint("clients = 0");
    assert!(
        said.contains("own.toml: invalid value '0' for '--clients"),
        "{said}"
    );
    assert!(complaint("rate = nan").contains("invalid value 'nan'"));
    assert!(complaint("duration = 10").contains("--duration"));
    assert!(complaint("clients = -1").contains("--clients"));
}

#[test]
fn who_is_not_there_is_told_what_is() {
    let said = parse("--scenario tchat").expect_err("unknown");
    assert!(said.contains("fanout, chat, "), "{said}");
    let said = parse("--scenario ./no/such.toml").expect_err("no file");
    assert!(said.contains("./no/such.toml"), "{said}");
}

#[test]
fn size_at_the_bound_and_past_it() {
    let fill = |bytes: u64| "#".repeat(bytes as usize);
    let (_folder, path) = file(&fill(SCENARIO_BYTES_MAX));
    assert!(parse(&format!("--scenario {path}")).is_ok());
    assert!(complaint(&fill(SCENARIO_BYTES_MAX + 1)).contains("larger than"));
}
