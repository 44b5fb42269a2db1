// The block memory of ECP5, 18 kbit, as far as synthesis uses it: Yosys has no simulation model of it.
//
// Two ports on 2,048 bytes of 9 bits. A port is 1, 2 or 4 bytes wide; bits 13 .. 3 of its address are the first byte, but for
// those that a wider word does not need. Of these the lowest enable the bytes of a word for writing. A port of 4 bytes takes the
// data pins of both ports, the lower half on A: port A then only writes and port B only reads.
//
// A byte that one port writes while the other reads it is read as anything: here as the complement of what it was.
//
// What else the memory can do names a module `unsupported`, which does not exist.
module DP16KD (
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
      DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
      DOA3, DOA2, DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
      DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
      DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18;
  parameter REGMODE_A = "NOREG";
  parameter CSDECODE_A = "0b000";
  parameter WRITEMODE_A = "NORMAL";
  parameter CLKAMUX = "CLKA";
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_B = "NOREG";
  parameter CSDECODE_B = "0b000";
  parameter WRITEMODE_B = "NORMAL";
  parameter CLKBMUX = "CLKB";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter GSR = "DISABLED";
  parameter [319:0] INITVAL_00 = 320'd0;
  parameter [319:0] INITVAL_01 = 320'd0;
  parameter [319:0] INITVAL_02 = 320'd0;
  parameter [319:0] INITVAL_03 = 320'd0;
  parameter [319:0] INITVAL_04 = 320'd0;
  parameter [319:0] INITVAL_05 = 320'd0;
  parameter [319:0] INITVAL_06 = 320'd0;
  parameter [319:0] INITVAL_07 = 320'd0;
  parameter [319:0] INITVAL_08 = 320'd0;
  parameter [319:0] INITVAL_09 = 320'd0;
  parameter [319:0] INITVAL_0A = 320'd0;
  parameter [319:0] INITVAL_0B = 320'd0;
  parameter [319:0] INITVAL_0C = 320'd0;
  parameter [319:0] INITVAL_0D = 320'd0;
  parameter [319:0] INITVAL_0E = 320'd0;
  parameter [319:0] INITVAL_0F = 320'd0;
  parameter [319:0] INITVAL_10 = 320'd0;
  parameter [319:0] INITVAL_11 = 320'd0;
  parameter [319:0] INITVAL_12 = 320'd0;
  parameter [319:0] INITVAL_13 = 320'd0;
  parameter [319:0] INITVAL_14 = 320'd0;
  parameter [319:0] INITVAL_15 = 320'd0;
  parameter [319:0] INITVAL_16 = 320'd0;
  parameter [319:0] INITVAL_17 = 320'd0;
  parameter [319:0] INITVAL_18 = 320'd0;
  parameter [319:0] INITVAL_19 = 320'd0;
  parameter [319:0] INITVAL_1A = 320'd0;
  parameter [319:0] INITVAL_1B = 320'd0;
  parameter [319:0] INITVAL_1C = 320'd0;
  parameter [319:0] INITVAL_1D = 320'd0;
  parameter [319:0] INITVAL_1E = 320'd0;
  parameter [319:0] INITVAL_1F = 320'd0;
  parameter [319:0] INITVAL_20 = 320'd0;
  parameter [319:0] INITVAL_21 = 320'd0;
  parameter [319:0] INITVAL_22 = 320'd0;
  parameter [319:0] INITVAL_23 = 320'd0;
  parameter [319:0] INITVAL_24 = 320'd0;
  parameter [319:0] INITVAL_25 = 320'd0;
  parameter [319:0] INITVAL_26 = 320'd0;
  parameter [319:0] INITVAL_27 = 320'd0;
  parameter [319:0] INITVAL_28 = 320'd0;
  parameter [319:0] INITVAL_29 = 320'd0;
  parameter [319:0] INITVAL_2A = 320'd0;
  parameter [319:0] INITVAL_2B = 320'd0;
  parameter [319:0] INITVAL_2C = 320'd0;
  parameter [319:0] INITVAL_2D = 320'd0;
  parameter [319:0] INITVAL_2E = 320'd0;
  parameter [319:0] INITVAL_2F = 320'd0;
  parameter [319:0] INITVAL_30 = 320'd0;
  parameter [319:0] INITVAL_31 = 320'd0;
  parameter [319:0] INITVAL_32 = 320'd0;
  parameter [319:0] INITVAL_33 = 320'd0;
  parameter [319:0] INITVAL_34 = 320'd0;
  parameter [319:0] INITVAL_35 = 320'd0;
  parameter [319:0] INITVAL_36 = 320'd0;
  parameter [319:0] INITVAL_37 = 320'd0;
  parameter [319:0] INITVAL_38 = 320'd0;
  parameter [319:0] INITVAL_39 = 320'd0;
  parameter [319:0] INITVAL_3A = 320'd0;
  parameter [319:0] INITVAL_3B = 320'd0;
  parameter [319:0] INITVAL_3C = 320'd0;
  parameter [319:0] INITVAL_3D = 320'd0;
  parameter [319:0] INITVAL_3E = 320'd0;
  parameter [319:0] INITVAL_3F = 320'd0;

  generate
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || CSDECODE_A != "0b000" || CSDECODE_B != "0b000"
        || CLKAMUX != "CLKA" || CLKBMUX != "CLKB" || DATA_WIDTH_A % 9 != 0 || DATA_WIDTH_B % 9 != 0
        || (DATA_WIDTH_B == 36 && DATA_WIDTH_A != 36))
      unsupported refused ();
  endgenerate

  // Words of 18 bits, each in 20.
  localparam [20479:0] INITIAL = {
      INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
      INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
      INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
      INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
      INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
      INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
      INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
      INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
  };
  localparam [2:0] BYTES_A = DATA_WIDTH_A / 9;
  localparam [2:0] BYTES_B = DATA_WIDTH_B / 9;

  reg [8:0] bytes [0:2047];
  integer place;
  initial
    for (place = 0; place < 2048; place = place + 1)
      bytes[place] = INITIAL[20 * (place / 2) + 9 * (place % 2) +: 9];

  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [10:0] first_a = address_a[13:3] & ~(11'd0 | (BYTES_A - 3'd1));
  wire [10:0] first_b = address_b[13:3] & ~(11'd0 | (BYTES_B - 3'd1));
  wire [17:0] pins_a = {
      DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3,
      DIA2, DIA1, DIA0
  };
  wire [17:0] pins_b = {
      DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3,
      DIB2, DIB1, DIB0
  };
  wire [35:0] given_a = {pins_b, pins_a};
  wire [35:0] given_b = {18'd0, pins_b};

  localparam SYNCHRONOUS = RESETMODE == "SYNC";
  wire write_a = CEA & WEA & ~(SYNCHRONOUS & RSTA);
  wire write_b = CEB & WEB & ~(SYNCHRONOUS & RSTB) & BYTES_B != 3'd4;

  // Of every byte of the widest word: whether it is written, and what a port sees of it.
  wire [3:0] writes_a, writes_b;
  wire [35:0] seen_a, seen_b;
  genvar k, j;
  generate
    for (k = 0; k < 4; k = k + 1) begin : each_byte
      wire [10:0] place_a = first_a + k;
      wire [10:0] place_b = first_b + k;
      assign writes_a[k] = write_a & k < BYTES_A & (BYTES_A == 3'd1 | address_a[k]);
      assign writes_b[k] = write_b & k < BYTES_B & (BYTES_B == 3'd1 | address_b[k]);
      wire [3:0] met_a, met_b;
      for (j = 0; j < 4; j = j + 1) begin : each_other
        assign met_a[j] = writes_b[j] & place_a == first_b + j;
        assign met_b[j] = writes_a[j] & place_b == first_a + j;
      end
      wire [8:0] old_a = |met_a ? ~bytes[place_a] : bytes[place_a];
      wire [8:0] old_b = |met_b ? ~bytes[place_b] : bytes[place_b];
      assign seen_a[9 * k +: 9] = WRITEMODE_A == "WRITETHROUGH" & writes_a[k] ? given_a[9 * k +: 9] : old_a;
      assign seen_b[9 * k +: 9] = WRITEMODE_B == "WRITETHROUGH" & writes_b[k] ? given_b[9 * k +: 9] : old_b;
      always @(posedge CLKA) if (writes_a[k]) bytes[place_a] <= given_a[9 * k +: 9];
      always @(posedge CLKB) if (writes_b[k]) bytes[place_b] <= given_b[9 * k +: 9];
    end
  endgenerate

  wire [35:0] held_a, held_b;
  wire read_a = CEA & ~(WRITEMODE_A == "NORMAL" & WEA);
  wire read_b = CEB & ~(WRITEMODE_B == "NORMAL" & WEB);
  DP16KD_output #(.SYNCHRONOUS(SYNCHRONOUS)) output_a (CLKA, RSTA, read_a, seen_a, held_a);
  DP16KD_output #(.SYNCHRONOUS(SYNCHRONOUS)) output_b (CLKB, RSTB, read_b, seen_b, held_b);
  assign {
      DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3,
      DOA2, DOA1, DOA0
  } = BYTES_B == 3'd4 ? held_b[17:0] : held_a[17:0];
  assign {
      DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3,
      DOB2, DOB1, DOB0
  } = BYTES_B == 3'd4 ? held_b[35:18] : held_b[17:0];
endmodule

module DP16KD_output (input clock, input clear, input enable, input [35:0] seen, output reg [35:0] held);
  parameter SYNCHRONOUS = 1;
  initial held = 36'd0;
  generate
    if (SYNCHRONOUS) begin : synchronous
      always @(posedge clock)
        if (clear) held <= 36'd0;
        else if (enable) held <= seen;
    end else begin : asynchronous
      always @(posedge clock, posedge clear)
        if (clear) held <= 36'd0;
        else if (enable) held <= seen;
    end
  endgenerate
endmodule
