//! RingEX's half of a login, and RingCX's: what each takes, and what each refuses in its own way.

use chrono::TimeDelta;

use super::*;
use crate::clock::SimClock;

/// One app, and the JWTs of two users.
async fn bench() -> (Bench, SimClock) {
    let clock = SimClock::manual("2026-11-22T03:30:00Z".parse().unwrap());
    let jwts = [("ann-jwt", "ann"), ("bob-jwt", "bob")]
        .map(|(jwt, user)| (jwt.to_owned(), user.to_owned()));
    let apps = [("app".to_owned(), "secret".to_owned())].into();
    let ringex = RingexSetup {
        apps,
        jwts: jwts.into(),
    };
    (
        Bench::with(Setup {
            ringex,
            clock: clock.clone(),
            ..Setup::default()
        })
        .await,
        clock,
    )
}

impl Bench {
    /// Asks RingEX for an access token, and gives what it refuses with.
    async fn ask(
        &self,
        client_id: &str,
        client_secret: &str,
        jwt: &str,
    ) -> Result<String, (u16, String)> {
        let answer = read(self.jwt_request(client_id, client_secret, jwt)).await;
        let said = answer.json();
        let text = |key: &str| said[key].as_str().map(str::to_owned);
        text("access_token")
            .ok_or_else(|| (answer.status.as_u16(), text("error").unwrap_or_default()))
    }
}

#[tokio::test]
async fn a_jwt_becomes_a_login_as_its_user() {
    let (bench, _) = bench().await;
    let given = read(bench.jwt_request("app", "secret", "ann-jwt"))
        .await
        .json();
    assert_eq!(
        (given["expires_in"].as_u64(), given["owner_id"].as_str()),
        (Some(3600), Some("ann"))
    );
    let login = read(bench.ringex_login_request(given["access_token"].as_str().unwrap()))
        .await
        .json();
    assert!(
        login["refreshToken"]
            .as_str()
            .is_some_and(|token| !token.is_empty())
    );
    let minted = bench.mint(login["accessToken"].as_str().unwrap()).await;
    assert_eq!(bench.simulator.record().alive("ann")[0].token, minted.body);
    assert!(bench.simulator.record().alive("bob").is_empty());
}

#[tokio::test]
async fn each_thing_that_can_be_wrong_is_refused_in_its_own_way() {
    let (bench, clock) = bench().await;
    let refused = |status: u16, error: &str| Err((status, error.to_owned()));
    assert_eq!(
        bench.ask("app", "wrong", "ann-jwt").await,
        refused(401, "invalid_client")
    );
    assert_eq!(
        bench.ask("another", "secret", "ann-jwt").await,
        refused(401, "invalid_client")
    );
    assert_eq!(
        bench.ask("app", "secret", "no-jwt").await,
        refused(400, "invalid_grant")
    );
    let url = format!("{}/restapi/oauth/token", bench.simulator.ringex_url());
    let form = [("grant_type", "password"), ("assertion", "ann-jwt")];
    let wrong = read(
        bench
            .client
            .post(url)
            .basic_auth("app", Some("secret"))
            .form(&form),
    )
    .await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.json()["error"].as_str()),
        (400, Some("unsupported_grant_type"))
    );
    bench.simulator.adjust(|settings| settings.jwt_flow = false);
    assert_eq!(
        bench.ask("app", "secret", "ann-jwt").await,
        refused(400, "unauthorized_client")
    );
    bench.simulator.adjust(|settings| settings.jwt_flow = true);

    let token = bench.ask("app", "secret", "ann-jwt").await.unwrap();
    assert!(bench.simulator.revoke_jwt("ann-jwt"));
    assert_eq!(
        bench.ask("app", "secret", "ann-jwt").await,
        refused(400, "invalid_grant")
    );
    assert_eq!(
        read(bench.ringex_login_request(&token)).await.status,
        200,
        "what it gave is good for its life"
    );
    bench.simulator.disable_access("ann");
    assert_eq!(read(bench.ringex_login_request(&token)).await.status, 403);
    bench.simulator.enable_access("ann");
    clock.advance(TimeDelta::seconds(3599));
    assert_eq!(read(bench.ringex_login_request(&token)).await.status, 200);
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(
        read(bench.ringex_login_request(&token)).await.status,
        401,
        "it has expired"
    );
    assert_eq!(
        read(bench.ringex_login_request("never given")).await.status,
        401
    );
}

#[tokio::test]
async fn the_limit_is_the_apps_and_a_request_in_a_penalty_restarts_it() {
    let (bench, clock) = bench().await;
    bench.simulator.set_app("other", "secret");
    bench.simulator.adjust(|settings| {
        settings.ringex_logins_per_minute = Some(2);
        settings.penalty = Duration::from_secs(60);
    });
    assert!(bench.ask("app", "secret", "ann-jwt").await.is_ok());
    assert!(
        bench.ask("app", "secret", "bob-jwt").await.is_ok(),
        "another user, the same app"
    );
    let refused = read(bench.jwt_request("app", "secret", "bob-jwt")).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (429, Some("60"))
    );
    assert!(
        bench.ask("other", "secret", "bob-jwt").await.is_ok(),
        "another app"
    );
    clock.advance(TimeDelta::seconds(59));
    assert_eq!(
        read(bench.jwt_request("app", "secret", "ann-jwt"))
            .await
            .status,
        429,
        "it starts again"
    );
    clock.advance(TimeDelta::seconds(59));
    assert_eq!(
        read(bench.jwt_request("app", "secret", "ann-jwt"))
            .await
            .status,
        429,
        "and again"
    );
    clock.advance(TimeDelta::seconds(60));
    assert!(bench.ask("app", "secret", "ann-jwt").await.is_ok());
    assert_eq!(bench.simulator.record().effects(Call::RingexToken), 4);
}

#[tokio::test]
async fn neither_host_answers_for_the_other() {
    let (bench, _) = bench().await;
    let at = |base: String, path: &str| bench.client.post(format!("{base}{path}"));
    let (ringcx, ringex) = (bench.simulator.base_url(), bench.simulator.ringex_url());
    assert_eq!(read(at(ringcx, "/restapi/oauth/token")).await.status, 404);
    for path in [LOGIN, "/api/auth/login/rc/accesstoken", TOKEN] {
        assert_eq!(read(at(ringex.clone(), path)).await.status, 404, "{path}");
    }
}
