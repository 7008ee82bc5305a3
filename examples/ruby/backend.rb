#!/usr/bin/env ruby
# frozen_string_literal: true

# A backend of WebRocket on nothing but Ruby's standard library.
#
# Usage: backend.rb [wr://TOKEN@host:port/vhost]
#
# The URL may also come from the environment, as LISTEN and WEBROCKET_BROWSER_URL
# do; see ../README.md.

require "cgi"
require "json"
require "securerandom"
require "socket"
require "time"
require "timeout"
require "uri"

CHANNELS = %w[lobby presence-lobby].freeze
PERMISSION = "presence-lobby" # a regular expression over whole channel names
NAME = /\A[A-Za-z0-9_-]{1,32}\z/
URL = %r{\Awr://([A-Za-z0-9]{40})@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?((?:/[A-Za-z0-9_-]+)+)\z}

REQUEST_TIMEOUT_S = 5
SILENCE_MAX_S = 2 # the broker beats every 0.5 s
RETRY_DELAY_FIRST_S = 0.2
RETRY_DELAY_MAX_S = 10
PACKET_BYTES_MAX = 4 * 1024 * 1024
HTTP_TIMEOUT_S = 10 # that a browser may keep us waiting
HTTP_LINE_BYTES_MAX = 8 * 1024
HTTP_HEADERS_MAX = 100

# The broker answered ER; 402 stands for a wrong access token or vhost.
class Refused < StandardError
  attr_reader :code

  def initialize(code)
    @code = code
    super("#{code == "402" ? "wrong access token or unknown vhost" : "refused"} (#{code})")
  end
end

# What may pass: the connection, or a refusal.
LOST = [SystemCallError, SocketError, IOError, Timeout::Error, Refused].freeze

class Broker
  attr_reader :address

  def initialize(url)
    @token, host, port, @vhost = URL.match(url)&.captures
    abort "backend: the URL is not of the form wr://TOKEN@host:port/vhost" unless @token
    @host = host.delete("[]")
    @port = (port || 8081).to_i
    abort "backend: the URL's port is not a number from 1 to 65535" unless (1..65_535).cover?(@port)
    @address = "#{host}:#{@port}"
  end

  # A connection whose first packet begins with the vhost, its token and an id of ours.
  def connect(role, *frames)
    Socket.tcp(@host, @port, connect_timeout: REQUEST_TIMEOUT_S) do |socket|
      send_packet(socket, "#{role}:#{@vhost}:#{@token}:#{SecureRandom.uuid}", "", *frames)
      yield socket
    end
  end

  # One request is one connection; gives the answer's frames after the command.
  def request(*frames)
    connect("req", *frames) { |socket| receive_packet(socket, REQUEST_TIMEOUT_S).drop(1) }
  end
end

# A frame is a line, so none may hold a line feed; two lines of CR LF end the packet.
def send_packet(socket, *frames)
  socket.write(frames.map { |frame| "#{frame}\n" }.join, "\r\n\r\n")
end

# The command and the frames after that.
def receive_packet(socket, timeout_s)
  packet = Timeout.timeout(timeout_s, Timeout::Error, "the broker is silent") do
    socket.gets("\n\r\n\r\n", PACKET_BYTES_MAX)
  end
  raise IOError, "connection closed by the broker" unless packet
  raise IOError, "packet cut off or too large" unless packet.delete_suffix!("\n\r\n\r\n")

  command, *frames = packet.force_encoding("UTF-8").scrub.split("\n", -1)
  raise Refused, frames.first if command == "ER"

  [command, *frames]
end

# Keeps a worker at the broker; returns when the broker refuses the token for good.
def work(broker)
  attempt = 0
  loop do
    begin
      CHANNELS.each { |channel| broker.request("OC", channel) } # does no harm to one that is open
      broker.connect("dlr", "RD") do |socket|
        receive_packet(socket, SILENCE_MAX_S) # the first HB: the worker is registered
        log "worker ready"
        attempt = 0
        send_packet(socket, "HB")
        take_turns(broker, socket)
      end
      cause = "the broker says goodbye"
    rescue *LOST => error
      return error if error.is_a?(Refused) && error.code == "402"

      cause = error.message
    end
    # A random delay: the backends of a broker that restarts shall not return at once.
    delay = rand * [RETRY_DELAY_MAX_S, RETRY_DELAY_FIRST_S * 2**attempt].min
    attempt = [attempt + 1, 10].min
    log "no broker at #{broker.address}: #{cause}; next attempt in #{delay.round(1)} s"
    sleep delay
  end
end

def take_turns(broker, socket)
  loop do
    command, *frames = receive_packet(socket, SILENCE_MAX_S)
    case command
    when "HB" then send_packet(socket, "HB") # without one for 1.5 s the broker gives a worker up
    when "TR" then handle(broker, frames.first.to_s)
    when "QT" then return
    end
  end
end

# A trigger: {"command": {"sid": ..., "channel": ..., "text": ...}}. Heartbeats wait
# for this: what takes longer than a second belongs in a thread of its own.
def handle(broker, text)
  data = JSON.parse(text)["command"]
  channel, line = data.values_at("channel", "text") if data.is_a?(Hash)
  unless CHANNELS.include?(channel) && line.is_a?(String)
    return log "ignored a trigger that is no command, or malformed"
  end

  verb, _, rest = line.partition(" ")
  reply = case verb
          when "echo" then rest
          when "time" then Time.now.utc.iso8601
          else "commands: echo TEXT, time"
          end
  # Written as JSON, line feeds are \n, and the payload is one frame.
  broker.request("BC", channel, "answer", JSON.generate(text: reply))
rescue JSON::ParserError
  log "ignored a trigger that is no JSON"
rescue *LOST => error
  log "answer not sent: #{error.message}"
end

# Whoever asks gets a token here; an application takes the name from its login.
def auth(broker, name)
  return 400, { error: "name: 1 to 32 letters, digits, _ or -" } unless NAME.match?(name)

  [200, { token: broker.request("AT", name, PERMISSION).first }]
rescue *LOST => error
  log "no token: #{error.message}"
  [503, { error: "the broker gives no token" }]
end

def accept_browsers(server, broker, page)
  loop do
    Thread.new(server.accept) { |socket| serve(broker, page, socket) }
  rescue SystemCallError, ThreadError => error
    log "no browser accepted: #{error.message}"
    sleep 1 # what is lacking, as descriptors, may be there again
  end
end

# One request for each connection: Ruby comes without an HTTP server.
def serve(broker, page, socket)
  Timeout.timeout(HTTP_TIMEOUT_S) do
    method, target = socket.gets("\n", HTTP_LINE_BYTES_MAX).to_s.split
    HTTP_HEADERS_MAX.times { break if socket.gets("\n", HTTP_LINE_BYTES_MAX).to_s.strip.empty? }
    path, query = target.to_s.split("?", 2)
    if method == "GET" && path == "/"
      respond(socket, 200, "text/html; charset=utf-8", page)
    elsif method == "GET" && path == "/webrocket/auth.json"
      status, answer = auth(broker, URI.decode_www_form(query.to_s).to_h.fetch("name", ""))
      respond(socket, status, "application/json", JSON.generate(answer))
    else
      respond(socket, 404, "text/plain", "not found\n")
    end
  end
rescue ArgumentError # a query that is none
  respond(socket, 400, "text/plain", "bad request\n")
rescue *LOST
  # The browser has gone, or was too slow.
ensure
  socket.close
end

def respond(socket, status, type, body)
  # A token works once, hence no-store. The reason may be left empty.
  socket.write("HTTP/1.1 #{status} \r\nContent-Type: #{type}\r\nContent-Length: #{body.bytesize}\r\n",
               "Cache-Control: no-store\r\nConnection: close\r\n\r\n", body)
end

def log(text)
  warn "backend: #{text}"
end

url = ARGV.first || ENV.fetch("WEBROCKET_URL", nil)
if !url || ARGV.size > 1
  abort "backend: usage: backend.rb [wr://TOKEN@host:port/vhost] (or WEBROCKET_URL)"
end
broker = Broker.new(url)
browser_url = ENV.fetch("WEBROCKET_BROWSER_URL", "http://127.0.0.1:8080/example")
page = File.read("#{__dir__}/../page.html", encoding: "UTF-8")
page = page.sub("{browser_url}") { CGI.escapeHTML(browser_url) }
listen = ENV.fetch("LISTEN", "127.0.0.1:8000")
host, port = /\A(.+):([0-9]{1,5})\z/.match(listen)&.captures
begin
  raise SocketError, "not of the form host:port" unless host && port.to_i <= 65_535

  server = TCPServer.new(host, port.to_i)
rescue SystemCallError, SocketError => error
  abort "backend: cannot listen on #{listen}: #{error.message}"
end
$stdout.sync = true
puts "listening on http://#{host}:#{server.local_address.ip_port}/"
Thread.new { accept_browsers(server, broker, page) }
begin
  abort "backend: #{work(broker).message}"
rescue Interrupt
  # Ctrl-C: the end of the process ends its connections.
end
