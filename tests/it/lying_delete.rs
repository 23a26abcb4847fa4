//! A delete that RingCX says is done and is not: the list is what counts, someone is told, and it
//! is tried again after growing waits.

use rotator_simulator::{Call, DeleteForm};

use crate::env::{TestEnv, eventually};

// fault: irreversible-last at reconcile delete: a delete counts as done by its answer, whatever the
//   list says
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_is_only_said_to_be_done_is_told_of_and_tried_again_after_its_back_off() {
    for form in [DeleteForm::Lie, DeleteForm::False, DeleteForm::NotFound] {
        let house = TestEnv::new().await;
        let short = "retention = { max-age = \"1ms\", overlap = \"0s\" }\nretry = { initial = \"1s\", max = \"1h\" }";
        house.set_policy(&house.usual(short));
        house.ringcx.adjust(|settings| settings.delete_form = form);
        let daemon = house.start_ready().await;
        let old = house.token();
        assert_eq!(house.run(["rotate", "ivr"]).code(), 0);
        eventually("someone is told", || {
            let incidents = house.status()["incidents"].as_array().unwrap().clone();
            incidents
                .iter()
                .any(|it| it["kind"] == "retire-failed")
                .then_some(())
        })
        .await;
        assert!(house.record().is_alive(&old), "{form:?}");
        assert_eq!(
            house.status()["previous"][0]["generation"],
            1,
            "{form:?}: it is not called gone"
        );
        eventually("it is tried again", || {
            (house.count(Call::Delete) >= 2).then_some(())
        })
        .await;
        assert!(
            house.count(Call::Delete) <= 6,
            "{form:?}: it is tried again and again"
        );
        house
            .ringcx
            .adjust(|settings| settings.delete_form = DeleteForm::True);
        eventually("it is gone", || house.record().dead_since(&old)).await;
        eventually("all is well", || {
            (house.status()["state"] == "ok").then_some(())
        })
        .await;
        daemon.stop();
    }
}
