// SPDX-License-Identifier: GPL-3.0-or-later
// Test equipment: an attestation service that attests nothing. It tells each message as a line, and
// sends what lines of its standard input say; what the other gateway sends it gets back.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <sstream>
#include <string>

#include "base/hex.h"
#include "keyms/carrier/service_channel.h"
#include "tests/support/unwrap.h"

namespace {

using namespace cs::keyms::carrier;
using cs::test::get;

const cs::SystemClock clock_of_machine;
constexpr int patience_ms = 10'000;

void wait_for(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  if (::poll(&waiting, 1, patience_ms) != 1) throw std::runtime_error("nothing comes");
}

class Service {
 public:
  explicit Service(ServiceConnection connection) : connection_(std::move(connection)) {}

  // False: the carrier has gone, or there are no more commands.
  bool turn() {
    std::array<pollfd, 2> waiting{
        {{connection_.fd(), connection_.events(), 0}, {STDIN_FILENO, POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), patience_ms) <= 0) return false;
    if (waiting[1].revents != 0) {
      std::string line;
      do {
        if (!std::getline(std::cin, line)) return false;
        command(line);
      } while (std::cin.rdbuf()->in_avail() > 0);
    }
    get(connection_.flush());
    while (true) {
      auto message = connection_.receive();
      if (!message.ok()) {
        std::cout << "gone " << message.error().message() << std::endl;
        return false;
      }
      if (!*message) return true;
      std::visit([&](const auto& one) { told(one); }, **message);
    }
  }

 private:
  void command(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "open") {
      std::string peer;
      std::string address;
      std::uint16_t port = 0;
      words >> peer >> address >> port;
      return get(connection_.send(Open{peer, {{get(cs::net::Address::parse(address)), port}}}));
    }
    std::uint32_t channel = 0;
    std::size_t size = 0;
    words >> channel >> size;
    if (verb == "data") {
      get(connection_.send(Data{channel, std::vector<std::uint8_t>(size, 'd')}));
    } else if (verb == "grant") {
      get(connection_.send(Grant{channel}));
    } else if (verb == "deny") {
      get(connection_.send(Deny{channel, {"test", "as told"}}));
    } else {
      get(connection_.send(Close{channel, {"test", "as told"}}));
    }
  }

  static void told(const Hello& hello) { std::cout << "hello " << hello.name << std::endl; }
  void told(const Connect& connect) {
    if (connect.opened_by_peer) echoed_ = connect.channel;
    std::cout << "connect " << connect.channel << ' ' << connect.opened_by_peer << ' '
              << cs::hex_encode(connect.secret.bytes()) << std::endl;
  }
  void told(const Data& data) {
    std::cout << "data " << data.channel << ' ' << data.bytes.size() << std::endl;
    if (data.channel == echoed_) get(connection_.send(data));
  }
  static void told(const Close& close) {
    std::cout << "close " << close.channel << ' ' << close.reason.code << std::endl;
  }
  static void told(const Unreachable& message) {
    std::cout << "unreachable " << message.peer << std::endl;
  }
  static void told(const Stats& /*stats*/) {}

  ServiceConnection connection_;
  std::uint32_t echoed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);  // so that in_avail() knows what is read ahead
  try {
    if (argc != 2) throw std::runtime_error("usage: cs-echo-service SOCKET");
    auto listener = get(ServiceListener::open(clock_of_machine, argv[1], ::getuid()));
    std::cout << "listening" << std::endl;
    wait_for(listener.fd());
    Service service(get(listener.accept()).value());
    while (service.turn()) {
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "cs-echo-service: " << error.what() << '\n';
    return 1;
  }
}
