//! External auth configs, and the flows that take their key from there.

use super::*;

async fn get(bench: &Bench, path: &str, access: &str) -> Answer {
    read(bench.request(Method::GET, path).bearer_auth(access)).await
}

async fn patch(bench: &Bench, access: &str, body: &str) -> Answer {
    let path = format!("{CONFIGS}/c1/apiKey");
    read(
        bench
            .request(Method::PATCH, &path)
            .bearer_auth(access)
            .body(body.to_owned()),
    )
    .await
}

const KEY: &str = "aws80:c2353445-bc74-af1a-2850-1d55a371c0a9";

#[tokio::test]
async fn a_key_is_changed_and_shown_as_the_settings_have_it() {
    let bench = Bench::new().await;
    let (access, _) = bench.session().await;
    let path = format!("{CONFIGS}/c1");
    let before = get(&bench, &path, &access).await.json();
    let body = format!("{{\"providerName\":\"Us\",\"apiKey\":\"{KEY}\"}}");
    let changed = patch(&bench, &access, &body).await.json();
    assert_eq!(
        (&changed["apiKey"], &changed["providerName"]),
        (&KEY.into(), &"Us".into())
    );
    assert_eq!(changed["description"], "", "what is not sent is emptied");
    assert_ne!(changed["updatedTime"], before["updatedTime"]);
    for (form, shown) in [
        (KeyForm::Whole, Some(KEY)),
        (KeyForm::Masked, Some("************c0a9")),
        (KeyForm::Hidden, Some("************")),
        (KeyForm::Absent, None),
    ] {
        bench.simulator.adjust(|settings| settings.key_form = form);
        let seen = get(&bench, &path, &access).await.json();
        assert_eq!(
            seen.get("apiKey").and_then(Value::as_str),
            shown,
            "{form:?}"
        );
        assert_eq!(seen["updatedTime"], changed["updatedTime"]);
    }
    let config = bench.simulator.record().config("c1").unwrap();
    assert_eq!(
        (config.fingerprint, config.changes),
        (Some(Fingerprint::of(KEY.as_bytes())), 1)
    );
}

#[tokio::test]
async fn what_is_not_allowed_not_there_or_not_complete_is_refused() {
    let bench = Bench::new().await;
    bench
        .simulator
        .add_auth_config("21170002/c2=OAUTH".parse().unwrap());
    let (access, _) = bench.session().await;
    let whole = format!("{{\"providerName\":\"Us\",\"apiKey\":\"{KEY}\"}}");
    for bad in [
        "",
        "{}",
        "{\"providerName\":\"Us\"}",
        "{\"apiKey\":\"aws80:key-key\"}",
    ] {
        assert_eq!(patch(&bench, &access, bad).await.status, 400, "{bad}");
    }
    for (path, status) in [
        (format!("{CONFIGS}/c2"), 404),
        (CONFIGS.replace("21170001", "9"), 404),
        (
            format!("{}/c2", CONFIGS.replace("21170001", "21170002")),
            200,
        ),
    ] {
        assert_eq!(
            get(&bench, &path, &access).await.status.as_u16(),
            status,
            "{path}"
        );
    }
    let listed = get(&bench, CONFIGS, &access).await.json();
    assert_eq!(listed["records"].as_array().map(Vec::len), Some(1));
    let seen = get(&bench, ACCOUNTS, &access).await.json();
    assert_eq!(
        seen.as_array().map(Vec::len),
        Some(2),
        "both accounts are seen"
    );
    for (may, read, write) in [
        (ConfigAccess::Read, 200, 403),
        (ConfigAccess::None, 403, 403),
        (ConfigAccess::Full, 200, 200),
    ] {
        bench
            .simulator
            .adjust(|settings| settings.config_access = may);
        assert_eq!(
            get(&bench, CONFIGS, &access).await.status.as_u16(),
            read,
            "{may:?}"
        );
        assert_eq!(
            patch(&bench, &access, &whole).await.status.as_u16(),
            write,
            "{may:?}"
        );
    }
}

#[tokio::test]
async fn a_flow_tells_whether_the_configured_key_ever_failed() {
    let bench = Bench::new().await;
    let record = bench.simulator.record();
    bench.simulator.start_flow("c1", Duration::from_millis(5));
    let token = bench.simulator.paste_foreign("ann", "c1");
    let calls =
        |count| move |record: &Record| record.flow("c1").is_some_and(|flow| flow.calls >= count);
    record.until(calls(3)).await;
    assert_eq!(
        record.flow("c1").map(|flow| flow.failed),
        Some(0),
        "not in service before its first token"
    );
    let fingerprint = Fingerprint::of(token.as_bytes());
    assert_eq!(record.flow("c1").unwrap().keys, [fingerprint]);
    bench.simulator.revoke(fingerprint);
    record
        .until(|record| record.flow("c1").is_some_and(|flow| flow.failed > 0))
        .await;
    assert!(record.flow("c1").unwrap().first_failed_at.is_some());
}
