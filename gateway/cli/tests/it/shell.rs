//! `gyre shell`.

use serde_json::json;

use crate::calls::fed;
use crate::fake::{Fake, User};

#[test]
fn lines_are_commands_and_flags_of_the_shell_hold_for_all() {
    let fake = Fake::start();
    let user = User::of(&fake);
    fake.given("vm", json!({"name": "web 1"}));
    let lines = "# a remark\n\nvm list --columns name -o csv\ngyre vm stop 'web 1'\nexit\nvm list\n";
    let done = fed(&user, &["-o", "name", "shell"], lines).fine();
    let out = done.out();
    assert!(out.starts_with("name\r\nweb 1\r\noperation/"), "{out}");
    assert_eq!(fake.requests("StopVm").len(), 1);
    assert_eq!(out.lines().count(), 3, "nothing after exit: {out}");
}

#[test]
fn the_first_failure_ends_a_shell_that_reads_a_pipe() {
    let fake = Fake::start();
    let user = User::of(&fake);
    let done = fed(&user, &["shell"], "vm stop nobody\nzone list -o json\n");
    assert_eq!((done.code(), done.out()), (3, String::new()));
    for (line, words) in
        [("vm \"a", "a quote is not closed"), ("shell", "the shell already"), ("vm fly", "unrecognized")]
    {
        let done = fed(&user, &["shell"], &format!("{line}\n"));
        assert_eq!(done.code(), 2, "{line}");
        assert!(done.err().contains(words), "{line}: {}", done.err());
    }
}
