//! Real calls to the stand-in, in each way in which RingCX may show a key.

use super::*;
use crate::clock::Clock;
use crate::ringcx::auth_config::AuthConfigs as _;
use crate::ringcx::http::HttpApi;
use rotator_core::event::GenerationNo;
use rotator_simulator::{
    Call, ConfigAccess, Effect, Fault, KeyForm, RetryAfter, Setup, Simulator, Times,
};

const GENERATION: GenerationNo = GenerationNo(7);

struct Bench {
    ringcx: Simulator,
    api: HttpApi,
    token: Token,
    sink: AuthConfigTarget,
}

impl Bench {
    async fn new(form: KeyForm) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let ringcx = Simulator::start(Setup::default()).await.unwrap();
        ringcx.adjust(|settings| settings.key_form = form);
        for spec in ["21170002/ivr", "21170001/other=OAUTH"] {
            ringcx.add_auth_config(spec.parse().unwrap());
        }
        let policy = crate::ringcx::http::tests::policy(&ringcx.base_url());
        let api = HttpApi::try_new(&policy, Clock::system()).ok().unwrap();
        let token = Token::try_new(&ringcx.mint_foreign("ann")).unwrap();
        Self {
            ringcx,
            api,
            token,
            sink: sink("21170002", "ivr"),
        }
    }

    fn context(&self) -> SinkContext<'_> {
        let ringcx = Some(RingcxAccess {
            api: &self.api,
            auth: Auth::Token(&self.token),
        });
        SinkContext {
            ringcx,
            ..SinkContext::default()
        }
    }

    async fn deliver(&self) -> Result<DeliveryReceipt, SinkError> {
        let at = chrono::DateTime::UNIX_EPOCH;
        let delivery = Delivery {
            account: "ivr",
            generation: GENERATION,
            token: &self.token,
            minted_at: at,
            previous: None,
            now: at,
        };
        self.sink.deliver(&delivery, self.context()).await
    }

    async fn look(&self, last: &DeliveryReceipt) -> String {
        let context = SinkContext {
            last: Some((GENERATION, last)),
            ..self.context()
        };
        match self.sink.read_back(context).await {
            ReadBack::Holds(token) if token.fingerprint() == self.token.fingerprint() => {
                "holds it".to_owned()
            }
            ReadBack::Holds(_) | ReadBack::Shows(_) => "holds another".to_owned(),
            ReadBack::AsDelivered => "as delivered".to_owned(),
            ReadBack::Absent => "absent".to_owned(),
            ReadBack::Other(what) => format!("other: {what}"),
            ReadBack::Unreadable(error) => format!("unreadable: {error}"),
            ReadBack::Opaque => "opaque".to_owned(),
        }
    }
}

fn sink(account_id: &str, auth_config_id: &str) -> AuthConfigTarget {
    AuthConfigTarget::new(
        "ivr",
        AuthConfigSink {
            account_id: account_id.to_owned(),
            auth_config_id: auth_config_id.to_owned(),
        },
    )
}

// fault: monotone, serve-live at sinks left_it_as: a config that was changed since counts as
//   delivered (masked read-back)
#[tokio::test]
async fn a_token_is_put_there_and_proved_however_the_key_is_shown() {
    for (form, proof, seen, changed) in [
        (KeyForm::Whole, "the whole key", "holds it", "holds another"),
        (
            KeyForm::Masked,
            "the change's answer, and an updatedTime that moved",
            "as delivered",
            "other: ",
        ),
        (
            KeyForm::Hidden,
            "the change's answer, and an updatedTime that moved",
            "as delivered",
            "other: ",
        ),
        (
            KeyForm::Absent,
            "the change's answer, and an updatedTime that moved",
            "as delivered",
            "other: ",
        ),
    ] {
        let bench = Bench::new(form).await;
        let before = bench.ringcx.record().config("ivr").unwrap();
        let taken = bench.deliver().await.unwrap();
        assert_eq!(taken.proof.as_deref(), Some(proof), "{form:?}");
        let config = bench.ringcx.record().config("ivr").unwrap();
        assert_eq!(config.key, bench.token.expose());
        assert_eq!(
            (config.provider, config.description),
            (before.provider, before.description)
        );
        assert_eq!(bench.look(&taken).await, seen, "{form:?}");
        assert!(
            !bench
                .look(&DeliveryReceipt::default())
                .await
                .contains("as delivered")
        );

        bench.ringcx.paste_foreign("ann", "ivr");
        let now = bench.look(&taken).await;
        assert!(now.starts_with(changed), "{form:?}: {now}");
    }
}

#[tokio::test]
async fn a_delivery_costs_three_calls_and_a_look_one() {
    let bench = Bench::new(KeyForm::Masked).await;
    let taken = bench.deliver().await.unwrap();
    let calls = |record: &rotator_simulator::Record| {
        [Call::ConfigRead, Call::ConfigWrite].map(|call| record.count(call))
    };
    assert_eq!(calls(&bench.ringcx.record()), [2, 1]);
    bench.look(&taken).await;
    assert_eq!(calls(&bench.ringcx.record()), [3, 1]);
}

#[tokio::test]
async fn what_is_not_shown_to_have_changed_is_not_taken_for_done() {
    let bench = Bench::new(KeyForm::Absent).await;
    // A gateway answers from what it remembers: the change is answered well, and nothing is
    // changed.
    let shown = bench
        .api
        .auth_config(Auth::Token(&bench.token), bench.sink.place())
        .await
        .ok()
        .unwrap();
    let again = bench
        .api
        .auth_config(Auth::Token(&bench.token), bench.sink.place())
        .await
        .ok()
        .unwrap();
    let error = bench.sink.proof(&shown, &again, &bench.token).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(
        error.to_string(),
        "auth config ivr was changed, but neither its key nor a new updatedTime shows the change"
    );
    for form in [KeyForm::Whole, KeyForm::Masked] {
        bench.ringcx.adjust(|settings| settings.key_form = form);
        let again = bench
            .api
            .auth_config(Auth::Token(&bench.token), bench.sink.place())
            .await
            .ok()
            .unwrap();
        let error = bench
            .sink
            .proof(&shown, &again, &bench.token)
            .unwrap_err()
            .to_string();
        assert!(error.contains("it shows another key"), "{form:?}: {error}");
    }
}

#[tokio::test]
async fn the_same_key_set_again_is_known_by_its_end_where_the_time_stands_still() {
    let bench = Bench::new(KeyForm::Masked).await;
    bench.deliver().await.unwrap();
    let shown = bench
        .api
        .auth_config(Auth::Token(&bench.token), bench.sink.place())
        .await
        .ok()
        .unwrap();
    let proof = bench.sink.proof(&shown, &shown, &bench.token).unwrap();
    assert_eq!(proof, "the change's answer, and the end of the key");
}

#[tokio::test]
async fn without_the_permission_it_says_which_one_and_before_a_mint() {
    let bench = Bench::new(KeyForm::Whole).await;
    bench
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::None);
    let error = bench
        .sink
        .preflight(bench.context())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("auth config ivr cannot be read: answered 403"),
        "{error}"
    );
    assert!(
        error.ends_with("give the account's user READ and UPDATE on External Auth Config"),
        "{error}"
    );
    bench
        .ringcx
        .adjust(|settings| settings.config_access = ConfigAccess::Read);
    bench.sink.preflight(bench.context()).await.unwrap();
    let error = bench.deliver().await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("UPDATE on External Auth Config"),
        "{error}"
    );
    // A gateway may answer 403 for what was done behind it.
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn one_that_is_not_there_or_holds_no_key_is_refused_and_not_touched() {
    let bench = Bench::new(KeyForm::Whole).await;
    for (account, config, why) in [
        ("21170001", "ivr", "answered 404"),
        ("21170009", "ivr", "answered 404"),
        (
            "21170001",
            "other",
            "is of type OAUTH, not APIKEY: choose one of type APIKEY",
        ),
    ] {
        let bench = Bench {
            sink: sink(account, config),
            ..Bench::new(KeyForm::Whole).await
        };
        for error in [
            bench.sink.preflight(bench.context()).await.unwrap_err(),
            bench.deliver().await.unwrap_err(),
        ] {
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.outcome(), Outcome::NotDone);
        }
        assert_eq!(bench.ringcx.record().count(Call::ConfigWrite), 0);
    }
    assert!(
        sink("21170001", "other")
            .read_back(bench.context())
            .await
            .is_other()
    );
}

/// What is there now is for the read that follows to say.
#[tokio::test]
async fn what_the_answer_to_a_change_says_does_not_matter() {
    for fault in [Fault::Garbage, Fault::HalfBody, Fault::Huge, Fault::Empty] {
        let bench = Bench::new(KeyForm::Masked).await;
        bench.ringcx.inject(Call::ConfigWrite, fault, Times::Once);
        bench.deliver().await.unwrap();
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_may_have_been_made() {
    for (call, fault, outcome) in [
        (Call::ConfigRead, Fault::LostAnswer, Outcome::NotDone),
        (Call::ConfigWrite, Fault::LostAnswer, Outcome::Unknown),
        (
            Call::ConfigWrite,
            Fault::Status(503, RetryAfter::Seconds(2), Effect::Done),
            Outcome::Unknown,
        ),
    ] {
        let bench = Bench::new(KeyForm::Masked).await;
        bench.ringcx.inject(call, fault, Times::Once);
        let error = bench.deliver().await.unwrap_err();
        assert_eq!(error.outcome(), outcome, "{call}={fault}: {error}");
        assert_eq!(
            error.retry_after().is_some(),
            matches!(fault, Fault::Status(503, ..))
        );
        assert!(!error.to_string().contains(bench.token.expose()));
        // Doing it again is the same as doing it once.
        bench.deliver().await.unwrap();
        assert_eq!(
            bench.ringcx.record().config("ivr").unwrap().key,
            bench.token.expose()
        );
    }
}

#[tokio::test]
async fn without_a_way_to_ask_nothing_is_claimed() {
    let sink = sink("1", "c");
    assert!(matches!(
        sink.preflight(SinkContext::default()).await,
        Err(SinkError::NotAsked)
    ));
    assert!(matches!(
        sink.read_back(SinkContext::default()).await,
        ReadBack::Unreadable(SinkError::NotAsked)
    ));
}

impl ReadBack {
    fn is_other(&self) -> bool {
        matches!(self, Self::Other(_))
    }
}
