// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd, the control plane's daemon.
#include <sys/mman.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <string>

#include "keyms/daemon/daemon.h"

namespace {

constexpr int failed = 1;

// Secrets are in OpenSSL's and the TPM library's memory as well: not swapped, not dumped.
void keep_memory() {
  ::prctl(PR_SET_DUMPABLE, 0);
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    std::cerr << "<4>memory may be swapped: RLIMIT_MEMLOCK is too small (LimitMEMLOCK=infinity)\n";
  }
}

int serve(const std::string& path) {
  const auto config = cs::keyms::read_daemon_config(path);
  if (!config.ok()) {
    std::cerr << "<3>" << config.error().message() << '\n';
    return failed;
  }
  keep_memory();
  const auto done = cs::keyms::run_daemon(*config, path, CS_VERSION);
  if (done.ok()) return 0;
  std::cerr << "<3>" << done.error().message() << '\n';
  return failed;
}

int run(int argc, char** argv) {
  CLI::App app("Attests this gateway to others, and others to it, and says what may pass");
  std::string config = "/etc/countersign/keymsd.toml";
  app.add_option("--config", config, "Its configuration; every field has a default")
      ->capture_default_str();
  app.set_version_flag("--version", "keymsd " CS_VERSION);
  app.footer(
      "It is run by systemd: systemctl start keymsd. To see what it does: countersign status.\n"
      "SIGHUP makes it read vendor roots and digest lists anew. Exit codes: 0 stopped, 1 failed, 2 "
      "wrong command line.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return serve(config);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "<3>keymsd: " << error.what() << '\n';
    return failed;
  }
}
