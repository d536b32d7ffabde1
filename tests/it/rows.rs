//! `tests/rows` against small trees: what counts as the test of a row, and what does not.

use std::path::Path;
use std::process::Command;

use crate::support::{Folder, Result};

/// What the program says last of the tree in this folder, and whether it is content.
fn verdict(root: &Path) -> Result<Option<(String, bool)>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rows");
    let output = match Command::new("python3")
        .arg(program)
        .arg("--root")
        .arg(root)
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            let required =
                std::env::var_os("PUSHSUB_REQUIRE_ALL").is_some_and(|value| value == "1");
            assert!(!required, "PUSHSUB_REQUIRE_ALL is set: no python3: {error}");
            println!("SKIPPED: no python3: {error}");
            return Ok(None);
        }
    };
    let said = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8(output.stderr)?;
    assert_eq!(errors, "");
    Ok(Some((said, output.status.success())))
}

/// Checks what is said of a tree of these rows with one file of tests.
#[track_caller]
fn assert_verdict(due: &[&str], file: &str, text: &str, missing: &[&str]) {
    let folder = Folder::new().expect("a folder for the sample");
    let rows: String = due
        .iter()
        .map(|id| format!("- **{id}** A row.\n"))
        .collect();
    let write = |path: &str, text: &str| {
        let path = folder.file(path);
        std::fs::create_dir_all(path.parent().expect("a folder"))
            .and_then(|()| std::fs::write(path, text))
            .expect("the sample is written");
    };
    write("tests/rows.md", &rows);
    write(file, text);
    if file.ends_with("case.rs") {
        write(&file.replace(".rs", ".stderr"), "error");
    }
    let verdict = verdict(&folder.file("")).expect("the program runs");
    std::fs::remove_dir_all(folder.file("")).expect("the sample is removed");
    let Some(verdict) = verdict else { return };
    let mut expected: String = missing
        .iter()
        .map(|id| format!("missing: {id}\n"))
        .collect();
    let (due, missing) = (due.len(), missing.len());
    let tested = due - missing;
    expected += &format!("due {due} tested {tested} missing {missing}\n");
    assert_eq!(verdict, (expected, missing == 0), "{text}");
}

#[test]
fn every_due_row_of_this_tree_has_a_test() -> Result {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some((said, content)) = verdict(here)? {
        assert!(content, "{said}");
    }
    Ok(())
}

#[test]
fn a_row_without_a_test_is_told_and_fails_the_check() {
    let text = "/// RT1.\n#[test]\nfn one() {}\n";
    assert_verdict(&["RT1", "RT11"], "src/a.rs", text, &["RT11"]);
    let text = "/// RT11, BI-RT1.\n#[test]\nfn one() {}\n";
    assert_verdict(&["RT1", "RT11"], "src/a.rs", text, &["RT1"]);
}

#[test]
fn a_row_is_quoted_in_a_doc_comment_or_in_a_name() {
    for text in [
        "/// What Z17: it says.\n#[test]\nfn one() {}\n",
        "/// First\n/// (Z17).\n#[tokio::test(start_paused = true)]\nasync fn one() {}\n",
        "    #[test]\n    fn z17_says_so() {}\n",
        "on_every_transport! {\n    one;\n}\n/// Z17.\nasync fn one(e: String) {}\n",
        "macro_rules! pairs {\n    () => {\n        /// Z17.\n        #[tokio::test]\n        async fn $name() {}\n",
        "in_both_roles!(one, two);\n/// Z17.\nasync fn two(e: String) {}\n",
        "in_both_roles!(\n    one,\n    two\n);\n/// Z17.\nasync fn two(e: String) {}\n",
    ] {
        assert_verdict(&["Z17"], "devices/tests/a.rs", text, &[]);
    }
    assert_verdict(
        &["Z17"],
        "tests/types/case.rs",
        "//! Z17.\nfn main() {}\n",
        &[],
    );
}

#[test]
fn a_range_and_a_list_count_for_each_in_them() {
    for quoted in [
        "RT08 to RT12",
        "RT08–RT12",
        "RT08-12",
        "RT08/09, RT10/11/12",
        "RT08, RT09, RT10 and RT11; RT12",
    ] {
        let text = format!("/// {quoted}.\n#[test]\nfn one() {{}}\n");
        let due = ["RT07", "RT08", "RT09", "RT10", "RT11", "RT12", "RT13"];
        assert_verdict(&due, "tests/a.rs", &text, &["RT07", "RT13"]);
    }
}

#[test]
fn rows_of_hostile_peers_and_of_faults_count_by_their_letters() {
    let text = "/// FT-20 to FT-22, BI-30.\n#[test]\nfn one() {}\n";
    let due = ["FT-20", "FT-21", "FT-22", "FT-30", "BI-30", "BI-21"];
    assert_verdict(&due, "tests/a.rs", text, &["FT-30", "BI-21"]);
}

#[test]
fn what_is_not_run_and_what_is_no_test_counts_for_nothing() {
    for text in [
        "/// Z17.\nfn no_test() {}\n",
        "//! Z17.\n#[test]\nfn one() {}\n",
        "// Z17.\n#[test]\nfn one() {}\n",
        "#[test]\nfn one() {\n    // Z17.\n}\n",
        "/// Z17.\n#[test]\n#[ignore = \"slow\"]\nfn one() {}\n",
        "/// Z17.\nstruct One;\n\n#[test]\nfn one() {}\n",
        "on_every_transport! {\n    #[ignore]\n    one;\n}\n/// Z17.\nasync fn one(e: String) {}\n",
        "/// SZ17, Z170, Z1.\n#[test]\nfn xz17() {}\n",
    ] {
        assert_verdict(&["Z17"], "tests/a.rs", text, &["Z17"]);
    }
}
