//! Every transport brings the same tree.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use git2::{IndexAddOption, Repository, Signature};
use wslk::process::Interrupt;
use wslk::source::{Fault, FetchRequest, SourceError, TreeId, remote};

use super::server::Server;
use super::{World, members, request, told, wanting};

/// A repository with one commit of what is in the folder.
pub fn commit(path: &Path) -> (Repository, git2::Oid) {
    let repository = Repository::init(path).unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["*"], IndexAddOption::FORCE, None).unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::new("A", "a@example.org", &git2::Time::new(0, 0)).unwrap();
    let parent = repository
        .head()
        .ok()
        .map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    let id = repository
        .commit(Some("HEAD"), &who, &who, "m", &tree, &parents)
        .unwrap();
    drop(tree);
    drop(parent);
    (repository, id)
}

pub fn tag(repository: &Repository, name: &str, commit: git2::Oid, annotated: bool) {
    let object = repository.find_object(commit, None).unwrap();
    if annotated {
        let who = Signature::new("A", "a@example.org", &git2::Time::new(0, 0)).unwrap();
        repository
            .tag(name, &object, &who, "release", true)
            .unwrap();
    } else {
        repository.tag_lightweight(name, &object, true).unwrap();
    }
}

/// A bare copy: its folder has no tree of its own.
pub fn bare(world: &World) -> (std::path::PathBuf, String) {
    members::folder(&world.path("work"), &["kernel"]);
    let (repository, id) = commit(&world.path("work"));
    tag(&repository, "linux-msft-wsl-6.1.21.2", id, true);
    tag(&repository, "linux-msft-wsl-6.1.9.1", id, false);
    tag(&repository, "v6.1", id, false);
    let path = world.path("upstream.git");
    fs::rename(world.path("work/.git"), &path).unwrap();
    Repository::open(&path)
        .unwrap()
        .config()
        .unwrap()
        .set_bool("core.bare", true)
        .unwrap();
    (path, id.to_string())
}

#[test]
fn git_tarball_and_folder_give_one_tree() {
    let world = World::new();
    let (upstream, commit) = bare(&world);
    let git = world.fetch_text(upstream.to_str().unwrap()).unwrap();
    assert_eq!(git.tag.unwrap().version(), "6.1.21.2", "the newest");
    assert_eq!(
        git.commit.unwrap().to_string(),
        commit,
        "an annotated tag is followed"
    );
    assert!(!git.root.join(".git").exists());

    let comment = format!("comment {commit}");
    let tarball = members::tarball(&[&comment, "kernel linux/"]);
    let path = world.path("linux.tar.gz");
    fs::write(&path, &tarball).unwrap();
    let elsewhere = World::new();
    let unpacked = elsewhere.fetch_text(path.to_str().unwrap()).unwrap();
    assert_eq!(unpacked.tree, git.tree);
    assert_eq!(unpacked.commit, git.commit, "git archive notes it");

    let without_folder = elsewhere.path("flat.tar.gz");
    fs::write(&without_folder, members::tarball(&["kernel "])).unwrap();
    assert_eq!(
        elsewhere
            .fetch_text(without_folder.to_str().unwrap())
            .unwrap()
            .tree,
        git.tree
    );

    let imported = World::new()
        .fetch_text(world.path("work").to_str().unwrap())
        .unwrap();
    assert_eq!(imported.tree, git.tree);

    let server = Server::start(tarball, &["serve".to_owned()]);
    assert_eq!(
        World::new().fetch_text(&server.url()).unwrap().tree,
        git.tree
    );
}

#[test]
fn other_packings_are_unpacked_too() {
    use std::io::Read as _;
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(members::tarball(&["kernel linux/"]).as_slice())
        .read_to_end(&mut tar)
        .unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    std::io::Write::write_all(&mut xz, &tar).unwrap();
    let world = World::new();
    let packed = [
        ("linux.tar.xz", xz.finish().unwrap()),
        (
            "linux.tar.zst",
            zstd::encode_all(tar.as_slice(), 1).unwrap(),
        ),
        ("linux.tgz", members::tarball(&["kernel linux/"])),
    ];
    let mut trees = Vec::new();
    for (name, content) in packed {
        fs::write(world.path(name), content).unwrap();
        trees.push(
            world
                .fetch_text(world.path(name).to_str().unwrap())
                .unwrap()
                .tree,
        );
    }
    assert!(trees.iter().all(|tree| *tree == trees[0]));
    assert_eq!(world.kept(), [trees[0].to_string()], "one tree, kept once");
}

#[test]
fn the_tree_is_read_only_and_its_links_work() {
    let world = World::new();
    fs::write(
        world.path("linux.tar.gz"),
        members::tarball(&["kernel linux/"]),
    )
    .unwrap();
    let tree = world
        .fetch_text(world.path("linux.tar.gz").to_str().unwrap())
        .unwrap();
    let mode = |name: &str| {
        fs::metadata(tree.root.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("Makefile"), mode("scripts/run.sh")), (0o444, 0o555));
    let config = fs::read_to_string(tree.root.join("Microsoft/config-wsl")).unwrap();
    assert_eq!(config, "CONFIG_64BIT=y\n");

    tree.verify().unwrap();
    fs::remove_file(tree.root.join("Kbuild")).unwrap();
    fs::write(tree.root.join("Kbuild"), "obj-y += evil/\n").unwrap();
    assert!(matches!(tree.verify(), Err(SourceError::Changed { .. })));
}

#[test]
fn a_packed_clone_leaves_its_git_behind() {
    let world = World::new();
    let members = ["kernel linux/", "file linux/.git/HEAD"];
    fs::write(world.path("linux.tar.gz"), members::tarball(&members)).unwrap();
    let tree = world
        .fetch_text(world.path("linux.tar.gz").to_str().unwrap())
        .unwrap();
    assert!(!tree.root.join(".git").exists());
    assert_eq!(TreeId::of_dir(&tree.root).unwrap(), tree.tree);
}

#[test]
fn tags_are_listed_without_a_clone() {
    let world = World::new();
    let (upstream, commit) = bare(&world);
    let tags = remote::list(upstream.to_str().unwrap(), &Interrupt::default()).unwrap();
    let found: Vec<_> = tags
        .iter()
        .map(|tag| (tag.tag.version(), tag.commit.to_string()))
        .collect();
    assert_eq!(
        found,
        [
            ("6.1.21.2".to_owned(), commit.clone()),
            ("6.1.9.1".to_owned(), commit)
        ]
    );
}

#[test]
fn a_release_that_is_not_there() {
    let world = World::new();
    let (upstream, _) = bare(&world);
    let error = world.fetch(&wanting(&upstream, "6.6")).unwrap_err();
    assert!(told(&error).ends_with("has no release 6.6"), "{error}");
    assert!(
        error.hint().unwrap().contains("6.1.21.2"),
        "{:?}",
        error.hint()
    );
    assert_eq!(error.fault(), Fault::Input);
}

#[test]
fn an_interrupt_leaves_nothing() {
    let world = World::new();
    fs::write(
        world.path("linux.tar.gz"),
        members::tarball(&["kernel linux/"]),
    )
    .unwrap();
    let sources = world.sources();
    sources.interrupt.set();
    for upstream in [
        world.path("linux.tar.gz"),
        bare(&world).0,
        world.path("work"),
    ] {
        let request = FetchRequest {
            ..request(upstream.to_str().unwrap()).unwrap()
        };
        let error = wslk::source::fetch(&request, &sources).unwrap_err();
        assert_eq!(error.fault(), Fault::Interrupted, "{}", told(&error));
        assert_eq!(world.kept(), [""; 0]);
    }
}
