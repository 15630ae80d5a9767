// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/standin/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>

namespace cs::standin {
namespace {

constexpr const char* kAbout =
    "cs-standin-keymsd: TEST EQUIPMENT. Speaks keymsd's end of the data plane's socket "
    "(docs/PROTOCOL.md) and serves peers and keys from a file. It attests nothing, keeps private "
    "keys in the open, and forgets at its end which lanes it gave out.";

constexpr const char* kFooter = R"(
The scenario, in JSON; bytes are in hex, without spaces:
  {"peers": [{"id": 1, "mode": "enforce", "addresses": ["192.0.2.2"],
     "outbound": [{"key": 7, "session": 32 bytes, "pcr_digest": 32 bytes,
        "direction": 0, "suite": 1, "gate_secret": 16 bytes, "lanes": [0, 63],
        "lifetime_ms": 3600000, "private_key": 32 bytes}],
     "inbound": [...the same...]}]}
  mode         off, sign_only, audit or enforce
  suite        docs/WIRE.md: 1 and 2 are P-256, 3 and 4 Ed25519
  lanes        outbound: given out, one for each worker of each nfq-signer that
               connects; inbound: what the peer may use
  lifetime_ms  from the moment the key first is in the scenario
  not_after    seconds since 1970; without, where the lifetime ends
  private_key  inbound, the peer's will do; or "public_key"
  remote       true: nfq-signer gets the public key, and signatures from here

"ready" on standard output says that the socket is there. What happens goes to
standard error. SIGHUP reads the scenario again and sends the differences; one
that cannot be read changes nothing. SIGTERM and SIGINT end it with exit code 0.
--stall-after and --die-after count answers to sign requests of whatever kind.
)";

}  // namespace

std::variant<Options, int> read_options(int argc, char** argv) {
  constexpr std::int64_t minute = 60000;
  Options options{{}, {}, getuid(), {}};
  std::int64_t latency = 0;
  std::int64_t jitter = 0;
  CLI::App app{kAbout, "cs-standin-keymsd"};
  app.footer(kFooter);
  app.add_option("--socket", options.socket, "path to listen at")->required();
  app.add_option("--scenario", options.scenario, "what to serve")->required();
  app.add_option("--uid", options.uid, "the user who may connect (its own)");
  app.add_option("--latency-ms", latency, "how long a signature takes (0)")
      ->check(CLI::Range(std::int64_t{0}, minute));
  app.add_option("--jitter-ms", jitter, "up to so much longer, at random (0)")
      ->check(CLI::Range(std::int64_t{0}, minute));
  app.add_option("--depth", options.behaviour.depth, "signatures at once, the others wait (1)")
      ->check(CLI::Range(1, 256));
  app.add_option("--unanswered", options.behaviour.unanswered, "busy above so many requests (256)")
      ->check(CLI::Range(1, 256));
  app.add_option("--stall-after", options.behaviour.stall_after, "answer no more after N answers");
  app.add_option("--die-after", options.behaviour.die_after, "SIGKILL after N answers");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  options.behaviour.latency = std::chrono::milliseconds(latency);
  options.behaviour.jitter = std::chrono::milliseconds(jitter);
  return options;
}

}  // namespace cs::standin
