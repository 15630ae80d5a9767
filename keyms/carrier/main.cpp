// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's network worker: its command line. keymsd starts it, with its socket as descriptor 3.

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <random>

#include "keyms/carrier/sandbox.h"
#include "keyms/carrier/tls_worker.h"
#include "keyms/carrier/worker.h"

namespace {

using namespace cs::keyms::carrier;

struct Flags {
  std::string user;
  bool without_seccomp = false;
  long stats_every_ms = 10'000;
};

cs::Result<void> serve(const Flags& flags) {
  cs::UniqueFd keymsd(worker_descriptor);
  // OpenSSL writes to sockets that a stranger resets when he likes.
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): fails for no signal that there is
  CS_CHECK(drop_privileges(flags.user));
  CS_CHECK(prepare_openssl());
  static const cs::SystemClock clock;
  TlsWorker::Options options{std::chrono::milliseconds(flags.stats_every_ms),
                             std::random_device()()};
  if (flags.without_seccomp) {
    std::cerr << "<4>running without seccomp: whoever takes this process over may do what its user "
                 "may"
              << std::endl;
  } else {
    CS_CHECK(filter_system_calls());
  }
  // Says hello, and so that all the above is in force.
  CS_TRY(TlsWorker worker, TlsWorker::create(clock, std::move(keymsd), options));
  return worker.run();
}

int run(int argc, char** argv) {
  CLI::App app{"Countersign's network worker, which keymsd starts", "keymsd-carrier"};
  app.set_version_flag("--version", "keymsd-carrier " CS_VERSION);
  Flags flags;
  app.add_option("--user", flags.user, "become this user, without any capability");
  app.add_flag("--without-seccomp", flags.without_seccomp, "for debugging only");
  app.add_option("--stats-every-ms", flags.stats_every_ms, "how often keymsd is sent the counters")
      ->check(CLI::Range(10, 3'600'000))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const auto done = serve(flags);
  if (done.ok() || done.error().kind() == cs::ErrorKind::closed) return 0;
  std::cerr << "<3>keymsd-carrier: " << done.error().message() << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "<3>keymsd-carrier: " << error.what() << '\n';
    return 1;
  }
}
