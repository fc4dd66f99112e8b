//! What was fetched once is what comes again, or nothing.

use std::fs;
use std::path::Path;

use git2::Repository;
use wslk::files;
use wslk::source::{Fault, FetchRequest, SourceError};

use super::server::Server;
use super::transports::{bare, commit, tag};
use super::{World, members, request, told, wanting};

fn path_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_second_run_needs_no_network() {
    let world = World::new();
    let server = Server::start(members::tarball(&["kernel linux/"]), &["serve".to_owned()]);
    let first = world.fetch_text(&server.url()).unwrap();
    assert_eq!(world.fetch_text(&server.url()).unwrap(), first);
    assert_eq!(server.requests().len(), 1);

    // Nor when only the tarball is left.
    files::remove_dir(&world.home.sources()).unwrap();
    let offline = FetchRequest {
        offline: true,
        ..request(&server.url()).unwrap()
    };
    assert_eq!(world.fetch(&offline).unwrap(), first);
    assert_eq!(server.requests().len(), 1);

    files::remove_dir(&world.home.sources()).unwrap();
    files::remove_dir(world.home.cache()).unwrap();
    let error = world.fetch(&offline).unwrap_err();
    assert!(matches!(error, SourceError::Offline { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Upstream);
}

#[test]
fn a_release_that_is_here_needs_no_remote() {
    let world = World::new();
    let (upstream, _) = bare(&world);
    let first = world.fetch(&wanting(&upstream, "latest")).unwrap();
    fs::rename(&upstream, world.path("gone.git")).unwrap();
    fs::create_dir_all(upstream.join("objects")).unwrap();
    fs::write(upstream.join("HEAD"), "").unwrap();
    for want in ["6.1.21.2", "linux-msft-wsl-6.1.21.2", "6.1", "latest"] {
        assert_eq!(
            world.fetch(&wanting(&upstream, want)).unwrap(),
            first,
            "{want}"
        );
        let offline = FetchRequest {
            offline: true,
            ..wanting(&upstream, want)
        };
        assert_eq!(world.fetch(&offline).unwrap(), first, "{want} offline");
    }
    let refresh = FetchRequest {
        refresh: true,
        ..wanting(&upstream, "6.1.21.2")
    };
    assert_eq!(world.fetch(&refresh).unwrap_err().fault(), Fault::Upstream);
}

#[test]
fn a_moved_tag_is_refused() {
    let world = World::new();
    let (upstream, _) = bare(&world);
    world.fetch_text(path_of(&upstream)).unwrap();
    let lock = world.lock_text();

    fs::write(world.path("work/init/main.c"), "evil").unwrap();
    let (changed, id) = commit(&world.path("work"));
    let mut remote = Repository::open(&upstream).unwrap();
    let objects = changed.path().join("objects");
    remote
        .odb()
        .unwrap()
        .add_disk_alternate(path_of(&objects))
        .unwrap();
    copy_objects(&objects, &upstream.join("objects"));
    remote = Repository::open(&upstream).unwrap();
    tag(&remote, "linux-msft-wsl-6.1.21.2", id, true);

    let refresh = FetchRequest {
        refresh: true,
        ..wanting(&upstream, "6.1.21.2")
    };
    let error = world.fetch(&refresh).unwrap_err();
    assert!(
        told(&error).contains("is not what it was: its commit is"),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Upstream);

    // Nor does it come in where the tree has gone in between.
    files::remove_dir(&world.home.sources()).unwrap();
    let error = world.fetch(&wanting(&upstream, "6.1.21.2")).unwrap_err();
    assert!(
        matches!(error, SourceError::Moved { part: "commit", .. }),
        "{error}"
    );
    assert_eq!(world.kept(), [""; 0]);
    assert_eq!(world.lock_text(), lock);

    fs::remove_file(world.path("wslk.lock")).unwrap();
    let tree = world.fetch(&wanting(&upstream, "6.1.21.2")).unwrap();
    assert_eq!(
        fs::read_to_string(tree.root.join("init/main.c")).unwrap(),
        "evil",
        "accepted by removing the pin"
    );
}

fn copy_objects(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_objects(&entry.path(), &target);
        } else if !target.exists() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_changed_byte_in_a_tarball_is_refused() {
    let world = World::new();
    let path = world.path("linux.tar.gz");
    fs::write(&path, members::tarball(&["kernel linux/"])).unwrap();
    world.fetch_text(path_of(&path)).unwrap();

    fs::write(
        &path,
        members::tarball(&["kernel linux/", "file linux/evil.c"]),
    )
    .unwrap();
    let error = world.fetch_text(path_of(&path)).unwrap_err();
    assert!(
        matches!(
            error,
            SourceError::Moved {
                part: "tree id",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Upstream);
    assert_eq!(world.kept().len(), 1);

    // The same tree in other bytes is another tarball.
    fs::write(&path, members::tarball(&["kernel elsewhere/"])).unwrap();
    let error = world.fetch_text(path_of(&path)).unwrap_err();
    assert!(
        matches!(
            error,
            SourceError::Moved {
                part: "SHA-256",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_changed_file_on_a_server_is_refused() {
    let world = World::new();
    let first = Server::start(members::tarball(&["kernel linux/"]), &["serve".to_owned()]);
    let tree = world.fetch_text(&first.url()).unwrap();
    let evil = Server::start(
        members::tarball(&["kernel linux/", "file linux/evil.c"]),
        &["serve".to_owned()],
    );
    let lock = world.lock_text().replace(&first.url(), &evil.url());
    fs::write(world.path("wslk.lock"), lock).unwrap();
    let refresh = FetchRequest {
        refresh: true,
        ..request(&evil.url()).unwrap()
    };
    let error = world.fetch(&refresh).unwrap_err();
    assert!(matches!(error, SourceError::Moved { .. }), "{error}");
    assert_eq!(world.kept(), [tree.tree.to_string()]);
}

#[test]
fn a_damaged_copy_in_the_cache_comes_again() {
    let world = World::new();
    let server = Server::start(members::tarball(&["kernel linux/"]), &["serve".to_owned()]);
    let first = world.fetch_text(&server.url()).unwrap();
    files::remove_dir(&world.home.sources()).unwrap();
    let kept = fs::read_dir(world.home.downloads())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(&kept, &fs::read(&kept).unwrap()[..5000]).unwrap();
    assert_eq!(world.fetch_text(&server.url()).unwrap(), first);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn an_interrupted_download_goes_on_in_the_next_run() {
    let world = World::new();
    let script = ["reset 40000", "reset 0", "reset 0", "range"].map(str::to_owned);
    let server = Server::start(members::tarball(&["kernel linux/"]), &script);
    let error = world.fetch_text(&server.url()).unwrap_err();
    assert!(told(&error).contains("gave up after 3 attempts"), "{error}");
    world.fetch_text(&server.url()).unwrap();
    assert_eq!(server.requests(), ["-", "40000", "40000", "40000"]);
}

#[test]
fn a_folder_is_copied_again_only_when_it_changed() {
    let world = World::new();
    members::folder(&world.path("linux"), &["kernel"]);
    // A stamp is only trusted once the clock has moved on.
    std::thread::sleep(std::time::Duration::from_millis(150));
    let first = world.fetch_text(path_of(&world.path("linux"))).unwrap();
    fs::rename(
        world.home.sources().join(first.tree.to_string()),
        world.path("aside"),
    )
    .unwrap();
    fs::create_dir_all(world.home.sources().join(first.tree.to_string())).unwrap();
    assert_eq!(
        world
            .fetch_text(path_of(&world.path("linux")))
            .unwrap()
            .tree,
        first.tree,
        "a half tree is replaced"
    );

    members::write(&world.path("linux/init/main.c"), b"changed", false);
    let second = world.fetch_text(path_of(&world.path("linux"))).unwrap();
    assert_ne!(second.tree, first.tree);
    assert_eq!(world.kept().len(), 2);
    assert_eq!(
        world.lock_text(),
        "",
        "a folder of the user's is not pinned"
    );
}
