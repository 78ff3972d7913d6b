//! The supervisor's life: adopt, serve, leave when nobody needs it.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::engine::networks;
use crate::keeper;
use crate::protocol::keeper::RequestBody;
use crate::store::Root;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::link::{self, Link};
use crate::supervisor::live::Task;
use crate::supervisor::{Error, driver, journal, neighbours, server};
use crate::{network, sys};

/// Time in which the first client connects.
const FIRST_CLIENT: Duration = Duration::from_secs(5);

/// Why the supervisor could not live.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Its event loop can't be had.
    #[error("start of the supervisor's runtime")]
    Runtime(#[source] std::io::Error),
    /// The keeper says what can't be understood.
    #[error("the keeper's end of the conversation")]
    Keeper(#[source] keeper::Error),
    /// The conversation broke off.
    #[error("the conversation with the keeper ended")]
    Link(#[source] tokio::task::JoinError),
    /// What the project left can't be taken up.
    #[error("adopt the project")]
    Adopt(#[source] Error),
    /// Clients have nowhere to come to.
    #[error("the keeper has no control socket on its shelf")]
    NoSocket,
    /// Clients can't be listened for.
    #[error("control socket")]
    Socket(#[source] std::io::Error),
}

/// Runs the supervisor until nobody needs it. `birth` comes from the
/// keeper, which started this process.
///
/// # Errors
/// When it can't live; its log says so too.
pub fn run(birth: keeper::SupervisorBirth) -> Result<(), Fatal> {
    journal::open(&birth.state_dir.join("supervisor.log"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Fatal::Runtime)
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, live(birth)));
    result.inspect_err(|error| {
        tracing::error!(causes = ?crate::supervisor::failure::chain(error), "the supervisor ends");
    })
}

async fn live(birth: keeper::SupervisorBirth) -> Result<(), Fatal> {
    let (state, run) = (above(&birth.state_dir), above(&birth.run_dir));
    let root = Root::open(state, run).map_err(|error| Fatal::Adopt(error.into()))?;
    let store = root.project(&birth.project);
    let (news_in, news) = mpsc::unbounded_channel();
    let link = Link::new(birth.socket, news_in).map_err(Fatal::Keeper)?;
    let connection = tokio::task::spawn_local(link.clone().serve());
    let host = Rc::new(Host::new(root, store, link, sys::process::own_uid()));
    host.adopt().await.map_err(Fatal::Adopt)?;
    let listener = control_socket(&host)?;
    let driver = Task::spawn(driver::drive(Rc::clone(&host), news));
    let _written = Task::spawn(Rc::clone(&host).write_behind());
    let _followed = Task::spawn(neighbours::follow(Rc::clone(&host)));
    let server = Task::spawn(server::serve(Rc::clone(&host), listener));
    tokio::select! {
        () = until_idle(&host) => tracing::info!("nothing runs and nobody asks: it leaves"),
        () = host.replaced.notified() => {
            tracing::info!("a supervisor of a later version goes on");
            host.flush_runtimes();
            return Ok(());
        }
        ended = connection => {
            // The link gives up only when no keeper can be had.
            return match ended {
                Ok(Err(error)) => Err(Fatal::Keeper(error)),
                Ok(Ok(())) => Ok(()),
                Err(error) => Err(Fatal::Link(error)),
            };
        }
    }
    drop(server);
    host.flush_runtimes();
    leave(&host).await;
    drop(driver);
    Ok(())
}

/// The engine's folder above a project's, `…/projects/<name>`.
fn above(project: &Path) -> &Path {
    project.parent().and_then(Path::parent).unwrap_or(project)
}

fn control_socket(host: &Host) -> Result<tokio::net::UnixListener, Fatal> {
    let shelved = host
        .link
        .get(keeper::SHELF_CONTROL)
        .map_err(|error| Fatal::Adopt(link_error(error)))?;
    let listener = std::os::unix::net::UnixListener::from(shelved.ok_or(Fatal::NoSocket)?);
    listener.set_nonblocking(true).map_err(Fatal::Socket)?;
    tokio::net::UnixListener::from_std(listener).map_err(Fatal::Socket)
}

fn link_error(error: link::Error) -> Error {
    error.into()
}

/// Returns when nothing runs, nothing will by itself, and nobody is connected.
/// Whoever had the pair started gets a while to connect.
async fn until_idle(host: &Rc<Host>) {
    let first_client = tokio::time::sleep(FIRST_CLIENT);
    tokio::pin!(first_client);
    let mut is_awaited = true;
    loop {
        tokio::select! {
            () = host.idle.notified() => {}
            () = &mut first_client, if is_awaited => is_awaited = false,
        }
        let is_active = host.table.borrow().is_active() || host.is_leased();
        let is_over = host.had_clients() || host.is_leaving.get() || !is_awaited;
        if !is_active && !host.has_clients() && is_over {
            host.put_away().await;
            host.forget_if_bare();
            return;
        }
    }
}

/// Puts everything away. What fails here is healed by the next command.
async fn leave(host: &Rc<Host>) {
    let bridges = std::mem::take(&mut *host.doomed_bridges.borrow_mut());
    if !bridges.is_empty() {
        let removed = blocking(move || network::bridge::remove(&bridges)).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "bridges were not removed");
        }
    }
    if host.is_successor.get() {
        let root = host.root.clone();
        if let Err(error) = blocking(move || networks::sweep(&root)).await {
            tracing::warn!(%error, "what an earlier supervisor left was not removed");
        }
    }
    // The keeper closes its end when it has gone; there is nobody to answer.
    if let Err(error) = host.link.call(RequestBody::Shutdown, Vec::new()).await {
        tracing::debug!(%error, "the keeper's farewell");
    }
}
