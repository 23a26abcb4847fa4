//! Starting a simulator, and what a test or a command does to it from outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::api;
use super::authority::Authority;
use super::clock::SimClock;
use super::configs::ConfigSpec;
use super::fault::{Call, Fault, FaultSpec, Times};
use super::http;
use super::listener::{self, ANY_PORT, Background, Listener, StartError};
use super::record::Record;
use super::records::DeletedBy;
use super::ringex::{self, RingexSetup};
use super::settings::Settings;
use super::world::{Admission, OnCall, SimUser, World};
use rotator_core::secret::Fingerprint;

/// A user who may log in.
#[derive(Clone)]
pub struct User {
    pub name: String,
    /// `None` takes any password.
    pub password: Option<String>,
    /// `None` takes any platform.
    pub platform: Option<String>,
}

/// What a simulator is started with.
#[derive(Clone)]
pub struct Setup {
    /// A loopback address; port 0 is any free one.
    pub listen: SocketAddr,
    /// HTTPS under this authority; `None` is plain HTTP.
    pub tls: Option<Authority>,
    /// Who may log in; without any, everyone may.
    pub users: Vec<User>,
    /// Where RingEX listens, which is another port.
    pub ringex_listen: SocketAddr,
    /// The apps and JWTs that RingEX accepts.
    pub ringex: RingexSetup,
    /// The forms of its answers, and its limits.
    pub settings: Settings,
    /// The time, to which [`Settings::date_skew_seconds`] is added.
    pub clock: SimClock,
    /// Called after each call of the API was recorded.
    pub on_call: Option<OnCall>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            listen: ANY_PORT,
            tls: None,
            users: Vec::new(),
            ringex_listen: ANY_PORT,
            ringex: RingexSetup::default(),
            settings: Settings::default(),
            clock: SimClock::system(),
            on_call: None,
        }
    }
}

/// A running stand-in. Dropping it closes its ports; [`Simulator::stop`] also waits.
pub struct Simulator {
    world: Arc<World>,
    listener: Listener,
    elsewhere: Listener,
    ringex: Listener,
    background: Background,
    tls: Option<Authority>,
}

/// The other host, to which redirects lead. A client that follows one gives its secrets away, so
/// each request is counted.
struct Elsewhere(Arc<World>);

impl http::Handler for Elsewhere {
    async fn handle(&self, _: http::Request) -> http::Reply {
        self.0.lock().redirected_calls += 1;
        self.0.announce();
        http::Reply::Answer(http::Response::text(200, "true"))
    }
}

impl Simulator {
    /// Starts it; it answers once this returns.
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        // All ports are bound before anything is served: if one is taken, nothing has started.
        let socket = listener::bind(setup.listen).await?;
        let other = listener::bind(ANY_PORT).await?;
        let ringex_socket = listener::bind(setup.ringex_listen).await?;
        let elsewhere_at = other.local_addr().unwrap_or(ANY_PORT);
        let world = Arc::new(World::new(setup.clock, setup.settings, setup.on_call));
        {
            let mut state = world.lock();
            // An empty list means any user and not none, so that a first try needs no setup.
            state.admission = if setup.users.is_empty() {
                Admission::Anyone
            } else {
                Admission::Known
            };
            state.ringex = ringex::RingexServer::new(setup.ringex);
            for User {
                name,
                password,
                platform,
            } in setup.users
            {
                state.users.insert(name, SimUser::new(password, platform));
            }
        }
        let stray = Arc::new(Elsewhere(Arc::clone(&world)));
        // Without TLS: a client that followed a redirect to plain HTTP would be caught as well.
        let elsewhere = Listener::spawn(other, Background::new(), move |stream| {
            http::serve(Arc::clone(&stray), None, stream)
        });
        let background = Background::new();
        let serve = |socket, side| {
            let api = Arc::new(api::Api {
                world: Arc::clone(&world),
                background: background.clone(),
                elsewhere: elsewhere_at,
                side,
            });
            let tls = setup.tls.clone();
            // One background for both ports, so that late effects and flows end when the simulator
            // stops.
            Listener::spawn(socket, background.clone(), move |stream| {
                http::serve(Arc::clone(&api), tls.clone(), stream)
            })
        };
        let listener = serve(socket, api::ApiHost::RingCx);
        let ringex = serve(ringex_socket, api::ApiHost::RingEx);
        Ok(Self {
            world,
            listener,
            elsewhere,
            ringex,
            background,
            tls: setup.tls,
        })
    }

    /// The address and port of RingCX.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// For `base-url`, without a slash at its end.
    pub fn base_url(&self) -> String {
        self.url_at(self.address())
    }

    /// For `ringex-url`, without a slash at its end.
    pub fn ringex_url(&self) -> String {
        self.url_at(self.ringex.address())
    }

    fn url_at(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    /// Makes a JWT that logs in as this user.
    pub fn make_jwt(&self, user: &str) -> String {
        self.world.lock().make_jwt(self.world.clock.now(), user)
    }

    /// Revokes a JWT. Returns whether there was one.
    pub fn revoke_jwt(&self, jwt: &str) -> bool {
        self.world.lock().ringex.setup.jwts.remove(jwt).is_some()
    }

    /// Registers an app, or gives it another secret.
    pub fn set_app(&self, client_id: &str, client_secret: &str) {
        self.world
            .lock()
            .ringex
            .setup
            .apps
            .insert(client_id.to_owned(), client_secret.to_owned());
    }

    /// Ends every access token of RingEX now.
    pub fn revoke_ringex_tokens(&self) {
        self.world.lock().ringex.revoke_tokens();
    }

    /// Every access token that RingEX ever issued.
    pub fn ringex_tokens(&self) -> Vec<String> {
        self.world.lock().ringex.tokens()
    }

    /// Lets RingCX refuse this user, whom RingEX still accepts.
    pub fn disable_access(&self, user: &str) {
        self.world
            .lock()
            .users
            .entry(user.to_owned())
            .or_default()
            .disable_access = true;
    }

    /// Lets RingCX accept this user again, after [`Simulator::disable_access`].
    pub fn enable_access(&self, user: &str) {
        self.world
            .lock()
            .users
            .entry(user.to_owned())
            .or_default()
            .disable_access = false;
    }

    /// Injects a fault into the next calls of this kind. Bounded faults come first, in the order
    /// given, then the one with [`Times::Always`]. A pair that [`Fault::fits`] refuses is not an
    /// error here: it does what it can.
    pub fn inject(&self, call: Call, fault: Fault, times: Times) {
        self.inject_spec(FaultSpec {
            call,
            user: None,
            fault,
            times,
        });
    }

    /// The same for the calls of one user. They come before the faults for all users.
    pub fn inject_for(&self, user: &str, call: Call, fault: Fault, times: Times) {
        self.inject_spec(FaultSpec {
            call,
            user: Some(user.to_owned()),
            fault,
            times,
        });
    }

    /// The same, as it is parsed from `--fault`.
    pub fn inject_spec(&self, spec: FaultSpec) {
        self.world.lock().faults.add(spec);
    }

    /// Removes every fault that has not happened yet.
    pub fn clear(&self) {
        self.world.lock().faults.clear();
    }

    /// Changes the settings for all calls from now on.
    pub fn adjust(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.world.lock().settings);
    }

    /// What really happened. It can still be read after the simulator was dropped.
    pub fn record(&self) -> Record {
        Record {
            world: Arc::clone(&self.world),
        }
    }

    /// Mints a token as another program would, and returns its text.
    pub fn mint_foreign(&self, user: &str) -> String {
        let token = self.world.lock().mint_foreign(self.world.clock.now(), user);
        self.world.announce();
        token
    }

    /// Deletes a token as another program would. Returns whether there was such a token.
    pub fn revoke(&self, fingerprint: Fingerprint) -> bool {
        let deleted =
            self.world
                .lock()
                .delete(self.world.clock.now(), fingerprint, DeletedBy::Foreign);
        self.world.announce();
        deleted
    }

    /// Adds an external auth config.
    pub fn add_auth_config(&self, spec: ConfigSpec) {
        self.world.lock().add_config(self.world.clock.now(), spec);
    }

    /// Removes an auth config as another program would.
    pub fn remove_auth_config(&self, config_id: &str) {
        self.world.lock().remove_config(config_id);
    }

    /// Mints a foreign token and puts it into an auth config, as an operator would who pastes it
    /// there, and returns its text.
    pub fn paste_foreign(&self, user: &str, config_id: &str) -> String {
        let token = self
            .world
            .lock()
            .paste_foreign(self.world.clock.now(), user, config_id);
        self.world.announce();
        token
    }

    /// Starts an IVR flow that calls with the key of this auth config, again and again. It is in
    /// service from its first call that works on.
    pub fn start_flow(&self, config_id: &str, every: Duration) {
        let (world, config_id) = (Arc::clone(&self.world), config_id.to_owned());
        self.background.spawn(async move {
            loop {
                // The lock is released before the sleep; held across it, every call would wait.
                world.lock().flow_calls(world.clock.now(), &config_id);
                world.announce();
                tokio::time::sleep(every).await;
            }
        });
    }

    /// Gives a user another password and lifts a lock.
    pub fn set_password(&self, user: &str, password: &str) {
        self.world.lock().set_password(user, password);
    }

    /// Moves a user to another platform: logins naming the old one are refused.
    pub fn set_platform(&self, user: &str, platform: &str) {
        self.world.lock().set_platform(user, platform);
    }

    /// Ends every access token now; refresh tokens stay good.
    pub fn expire_sessions(&self) {
        self.world.lock().expire_sessions(self.world.clock.now());
    }

    /// Closes the ports and every connection. The record stays.
    pub async fn stop(&self) {
        self.listener.stop().await;
        self.elsewhere.stop().await;
        self.ringex.stop().await;
    }
}
