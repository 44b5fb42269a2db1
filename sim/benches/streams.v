// Ends of streams for testbenches in Verilog-2001: a source that offers the words of a file, a sink that compares.
// A stream moves a word at every rising edge of clk at which valid and ready are high.

// Offers the words of FILE ($readmemh), after pauses of STALL / 256 of the cycles.
module stream_source (clk, rst, limit, valid, ready, payload, transfers);
  parameter WIDTH = 1;
  parameter COUNT = 1;       // words in FILE
  parameter STALL = 0;
  parameter SEED = 1;
  parameter UNKNOWN = 0;     // 1: the payload is X while it is not valid, else random bits
  parameter FILE = "";
  input clk, rst, ready;
  input [31:0] limit;        // words that may be offered by now
  output valid;
  output [WIDTH-1:0] payload;
  output [31:0] transfers;   // words taken
  reg valid;
  reg [WIDTH-1:0] payload;
  reg [31:0] transfers;

  reg [WIDTH-1:0] words [0:COUNT];   // one more than there are, so that none is legal
  reg [31:0] offered;
  integer chance, i;

  initial begin
    chance = SEED;
    if (COUNT > 0) $readmemh(FILE, words, 0, COUNT - 1);
  end

  always @(posedge clk)
    if (rst) begin
      valid <= 0;
      payload <= {WIDTH{1'bx}};
      offered <= 0;
      transfers <= 0;
    end else begin
      if (valid && ready === 1'bx) begin
        $display("FAIL %m: ready is unknown");
        $finish;
      end
      if (valid && ready) transfers <= transfers + 1;
      if (!valid || ready) begin
        if (offered < limit && {$random(chance)} % 256 >= STALL) begin
          valid <= 1;
          payload <= words[offered];
          offered <= offered + 1;
        end else begin
          valid <= 0;
          for (i = 0; i < WIDTH; i = i + 1) payload[i] <= UNKNOWN ? 1'bx : $random(chance);
        end
      end
    end
endmodule

// Takes words and compares the bits set in CARE_FILE with those of FILE; holds the stream to its contract.
module stream_sink (clk, rst, limit, valid, ready, payload, transfers);
  parameter WIDTH = 1;
  parameter COUNT = 1;
  parameter STALL = 0;
  parameter SEED = 1;
  parameter FILE = "";
  parameter CARE_FILE = "";
  input clk, rst, valid;
  input [31:0] limit;        // words that may come by now
  input [WIDTH-1:0] payload;
  output ready;
  output [31:0] transfers;   // words taken and found equal
  reg ready;
  reg [31:0] transfers;

  reg [WIDTH-1:0] words [0:COUNT];
  reg [WIDTH-1:0] care [0:COUNT];
  reg waiting;               // a word was offered and not taken
  reg [WIDTH-1:0] waiting_word;
  integer chance;

  initial begin
    chance = SEED;
    if (COUNT > 0) begin
      $readmemh(FILE, words, 0, COUNT - 1);
      $readmemh(CARE_FILE, care, 0, COUNT - 1);
    end
  end

  always @(posedge clk)
    if (rst) begin
      ready <= 0;
      waiting <= 0;
      transfers <= 0;
    end else begin
      if (valid === 1'bx) begin
        $display("FAIL %m: valid is unknown");
        $finish;
      end
      if (waiting && !valid) begin
        $display("FAIL %m: valid fell before the word was taken");
        $finish;
      end
      if (waiting && payload !== waiting_word) begin
        $display("FAIL %m: the word changed before it was taken");
        $finish;
      end
      if (valid && ready) begin
        if (transfers >= limit) begin
          $display("FAIL %m: word %0d: none is expected, got %h", transfers, payload);
          $finish;
        end else if ((payload & care[transfers]) !== (words[transfers] & care[transfers])) begin
          $display("FAIL %m: word %0d: %h, expected %h in the bits %h", transfers, payload, words[transfers], care[transfers]);
          $finish;
        end
        transfers <= transfers + 1;
      end
      waiting <= valid && !ready;
      waiting_word <= payload;
      ready <= {$random(chance)} % 256 >= STALL;
    end
endmodule
