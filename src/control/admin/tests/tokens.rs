//! Single access tokens that an operator asks for.

use super::client::{Admin, Answer};
use crate::limits::{PATTERN_BYTES_MAX, UID_BYTES_MAX};

async fn issue(admin: &Admin, vhost: &str, body: &str) -> Answer {
    let target = format!("/{vhost}/single-access-tokens");
    admin.post(&target, body).await
}

fn wanted(uid: &str, permission: &str) -> String {
    serde_json::json!({ "uid": uid, "permission": permission }).to_string()
}

#[tokio::test]
async fn each_is_another_and_counted_as_unused() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let issued = issue(&admin, "v", &wanted("joe", "presence-.*")).await;
        assert_eq!(issued.status, 201);
        let token = issued.json()["token"].as_str().expect("a token").to_owned();
        assert_eq!(token.len(), 128);
        tokens.push(token);
    }
    assert_ne!(tokens[0], tokens[1]);
    let stats = admin.ask("GET", "/v/stats").await.json();
    assert_eq!(stats["stats"]["unusedTokens"], 2);
    admin.stop().await;
}

#[tokio::test]
async fn what_no_backend_would_get_no_operator_gets() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    let longest = "u".repeat(UID_BYTES_MAX);
    assert_eq!(issue(&admin, "v", &wanted(&longest, "a")).await.status, 201);
    let widest = "a".repeat(PATTERN_BYTES_MAX);
    assert_eq!(issue(&admin, "v", &wanted("u", &widest)).await.status, 201);
    for (uid, permission, error) in [
        ("", "a", "invalid uid"),
        (&*format!("{longest}u"), "a", "invalid uid"),
        ("u", "", "invalid permission"),
        ("u", "(", "invalid permission"),
        ("u", "a)(b", "invalid permission"),
        ("u", &*format!("{widest}a"), "invalid permission"),
    ] {
        let refused = issue(&admin, "v", &wanted(uid, permission)).await;
        assert_eq!((refused.status, &*refused.error()), (400, error));
    }
    for body in [
        "",
        "{}",
        "[]",
        r#"{"uid":"u"}"#,
        r#"{"uid":1,"permission":"a"}"#,
    ] {
        let refused = issue(&admin, "v", body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.error().starts_with("body asks for no token: "));
    }
    let missing = issue(&admin, "w", &wanted("u", "a")).await;
    assert_eq!(
        (missing.status, &*missing.error()),
        (404, "vhost doesn't exist")
    );
    admin.stop().await;
}
