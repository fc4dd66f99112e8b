//! A tree of a few C files with a makefile that stands in for a kernel, and builds of it in a real engine with its
//! builder image, each as if on a machine of its own. Where these are missing, callers say that they skip.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wslk::build::{
    self, BuildPlan, Builder, CompileHost, Compiled, CompilerCache, Engine, EngineChoice, Image,
    Limits, Recipe, ServerStats, SharedCache, Shelves,
};
use wslk::digest::Sha256;
use wslk::exec::Duct;
use wslk::home::Home;
use wslk::kconfig::Arch;
use wslk::process::Interrupt;
use wslk::report::{Event, Reporter, Sink};

/// What build.sh asks of a kernel's makefile, and a compiler's command line as kbuild writes it.
const MAKEFILE: &str = r"
sources := $(sort $(notdir $(wildcard *.c)))
objects := $(sources:%.c=$(O)/%.o)
bzImage: $(objects)
	@mkdir -p $(O)/arch/x86/boot
	@cat $(objects) >$(O)/arch/x86/boot/bzImage && echo map >$(O)/System.map
CC ?= gcc
$(O)/%.o: %.c
	@echo '  CC      $*.o'
	@cd $(O) && $(CC) -Wp,-MMD,.$*.o.d -I$(CURDIR) -include include/generated/autoconf.h -O2 FLAGS -c -o $*.o $(CURDIR)/$*.c
include/config/auto.conf include/generated/autoconf.h &:
	@mkdir -p $(O)/include/generated $(O)/include/config
	@printf '/*\n * Linux/x86 6.1.0 Kernel Configuration\n */\n' >$(O)/include/generated/autoconf.h
	@echo 6.1.0-test >$(O)/include/config/kernel.release
	@touch $(O)/include/config/auto.conf
";

/// What the tree is like.
#[derive(Clone, Copy)]
pub struct Kind {
    pub objects: u64,
    /// Of each object: work for the compiler.
    pub functions: u64,
    pub flags: &'static str,
}

/// A tree, and an engine to build it with.
pub struct Yard {
    pub folder: tempfile::TempDir,
    pub config: String,
    pub engine: Engine,
    pub image: Option<Image>,
}

/// Something that happens once, at a number of objects.
pub struct Deed(pub u64, pub Box<dyn Fn() + Send + Sync>);

/// How to build.
#[derive(Default)]
pub struct Way {
    pub no_ccache: bool,
    pub shared: SharedCache,
    pub hosts: Vec<CompileHost>,
    pub deed: Option<Deed>,
}

/// One build: empty home, empty local cache.
pub struct Built {
    pub bytes: Sha256,
    pub compiled: Compiled,
    pub log: String,
    pub servers: Vec<ServerStats>,
    pub warnings: Vec<String>,
    pub time: Duration,
}

/// Keeps what a user would be warned of, and does the deed.
struct Ear {
    warnings: Mutex<Vec<String>>,
    deed: Mutex<Option<Deed>>,
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

impl Sink for Ear {
    fn take(&self, event: &Event) {
        match event {
            Event::Warning { text } => {
                self.warnings.lock().expect("whole").push(text.clone());
            }
            Event::Moved { done, .. } => {
                let mut deed = self.deed.lock().expect("whole");
                if let Some(Deed(_, happens)) = deed.take_if(|Deed(at, _)| *done >= *at) {
                    happens();
                }
            }
            _ => {}
        }
    }
}

pub fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("a standard error");
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Yard {
    /// With this engine, or why not.
    pub fn new(choice: EngineChoice, kind: Kind) -> Result<Self, String> {
        let runner = Arc::new(Duct::new(Interrupt::default()));
        let engine = Engine::find(choice, runner, &Reporter::silent());
        let engine = engine.map_err(|error| error.to_string())?;
        let image = match choice {
            EngineChoice::Host => None,
            _ => {
                let reference = Recipe::embedded().reference();
                let image = Image::find(&engine, &reference).expect("an answer");
                let missing = || format!("{} has no {reference}", engine.kind());
                Some(image.ok_or_else(missing)?)
            }
        };
        let folder = tempfile::tempdir().expect("a folder");
        plant(&folder.path().join("tree"), kind);
        Ok(Self {
            folder,
            config: "# CONFIG_MODULES is not set\n".to_owned(),
            engine,
            image,
        })
    }

    /// With each of these engines that is there; the others are skipped.
    pub fn each(choices: &[EngineChoice], kind: Kind) -> Vec<Self> {
        let yard = |choice: &EngineChoice| {
            let yard = Self::new(*choice, kind);
            yard.map_err(|why| say(&format!("SKIPPED: {choice:?}: {why}")))
                .ok()
        };
        choices.iter().filter_map(yard).collect()
    }

    /// With the first engine that makes containers; without one the test is skipped.
    pub fn contained(kind: Kind) -> Option<Self> {
        let docker = Self::new(EngineChoice::Docker, kind);
        let either = docker.or_else(|why| {
            let podman = Self::new(EngineChoice::Podman, kind);
            podman.map_err(|neither| format!("{why}; {neither}"))
        });
        either.map_err(|why| say(&format!("SKIPPED: {why}"))).ok()
    }

    pub fn builder(&self, home: &Home) -> Builder {
        Builder::new(
            self.engine.clone(),
            self.image.clone(),
            Limits::default(),
            home,
        )
    }

    pub fn build(&self, way: Way) -> Built {
        let machine = tempfile::tempdir().expect("a folder");
        let home = Home::new(machine.path().join("home"), machine.path().join("cache"));
        let builder = self.builder(&home);
        let plan = self.plan(&home, &builder, &way);
        let ear = Arc::new(Ear {
            warnings: Mutex::default(),
            deed: Mutex::new(way.deed),
        });
        let reporter = Reporter::new(vec![Box::new(Arc::clone(&ear))]);
        let started = Instant::now();
        let shelves = Arc::new(Shelves::new(&way.shared));
        let compiled = build::run(&plan, &builder, &shelves, &reporter);
        let compiled = compiled.expect("builds, whatever others do");
        let warnings = ear.warnings.lock().expect("whole").clone();
        Built {
            servers: shelves.stats(),
            bytes: Sha256::of_file(&compiled.bzimage).expect("there"),
            log: fs::read_to_string(&compiled.log).expect("a log"),
            compiled,
            warnings,
            time: started.elapsed(),
        }
    }

    fn plan(&self, home: &Home, builder: &Builder, way: &Way) -> BuildPlan {
        let cache = CompilerCache {
            folder: home.ccache(),
            toolchain: builder.toolchain().expect("packages"),
        };
        BuildPlan {
            source: self.folder.path().join("tree"),
            config: self.config.clone(),
            localversion: String::new(),
            work: home.work().join("k"),
            arch: Arch::X86,
            jobs: 1,
            timestamp: BuildPlan::TIMESTAMP.to_owned(),
            ccache: (!way.no_ccache).then_some(cache),
            hosts: way.hosts.clone(),
            // More than the longest that a host is waited for.
            silence: Duration::from_secs(200),
        }
    }
}

fn plant(tree: &Path, kind: Kind) {
    fs::create_dir(tree).expect("a folder");
    let makefile = MAKEFILE.replace("FLAGS", kind.flags);
    fs::write(tree.join("Makefile"), makefile).expect("written");
    fs::write(tree.join("all.h"), "struct all { int one, other; };\n").expect("written");
    for n in 0..kind.objects {
        let function = |m: u64| {
            format!(
                "int f{n}_{m}(struct all *all) {{ int sum = {m}; for (int i = 0; i < all->one; i++) \
                 sum = sum * {n} + all->other / (i + 1); return sum; }}\n"
            )
        };
        let functions: String = (0..kind.functions).map(function).collect();
        let text = format!("#include <all.h>\n{functions}");
        fs::write(tree.join(format!("f{n:02}.c")), text).expect("written");
    }
}
