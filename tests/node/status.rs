//! `hauspost status`, with and without a running node.

use crate::process::{Node, run};
use std::path::Path;

fn status(data: &Path, more: &[&str]) -> String {
    let mut arguments = vec!["status", "--data", data.to_str().unwrap()];
    arguments.extend(more);
    let output = run(&arguments, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_whole_node_is_on_one_screen() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::try_in(&data);
    (0..3).for_each(|number| node.deliver(&format!("number {number}")));
    assert!(run(&["device", "add", "phone", "--data", data.to_str().unwrap()], "").status.success());
    let text = status(&data, &[]);
    for part in [
        "home.test    runs for ",
        "listens      mx ",
        " imaps ",
        "certificate  home.test valid until ",
        "devices      phone                not used yet\n",
        "mailboxes    INBOX                4 messages, 4 unseen, ",
        "queue        empty\n",
        " used, room for ",
        " flushes since the start\n",
        "troubles     none since the start\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(text.lines().count() <= 40, "{text}");
    let json = status(&data, &["--json"]);
    for part in [
        "{\"hostname\":\"home.test\",\"running\":true,",
        "{\"name\":\"INBOX\",\"messages\":4,\"unseen\":4,",
        "\"troubles\":[]}\n",
    ] {
        assert!(json.contains(part), "{part:?} is not in\n{json}");
    }
    node.stop();
    let text = status(&data, &[]);
    assert!(text.starts_with("home.test    does not run\ncertificate  home.test valid until "), "{text}");
    assert!(
        status(&data, &["--json"])
            .contains("\"running\":false,\"uptime_seconds\":null,\"sessions\":null,\"listeners\":[],")
    );
}
